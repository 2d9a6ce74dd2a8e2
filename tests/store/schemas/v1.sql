BEGIN TRANSACTION;
CREATE TABLE auwgent_calls (
	no INTEGER NOT NULL, 
	run_no INTEGER NOT NULL, 
	call_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	idempotent BOOLEAN NOT NULL, 
	started_at INTEGER NOT NULL, 
	ended_at INTEGER, 
	PRIMARY KEY (no), 
	FOREIGN KEY(run_no) REFERENCES auwgent_runs (no) ON DELETE CASCADE
);
INSERT INTO "auwgent_calls" VALUES(1,1,'c1','weather',1,1795883429099387,1795883429112282);
CREATE TABLE auwgent_runs (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	user_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	session_no INTEGER, 
	status TEXT NOT NULL, 
	leg INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	worker INTEGER, 
	priority INTEGER DEFAULT '0' NOT NULL, 
	made_at INTEGER NOT NULL, 
	due_at INTEGER, 
	started_at INTEGER, 
	ended_at INTEGER, 
	asked TEXT, 
	input TEXT, 
	settings TEXT, 
	pending TEXT, 
	answers TEXT, 
	usage TEXT, 
	error TEXT, 
	UNIQUE (user_id, id), 
	FOREIGN KEY(session_no) REFERENCES auwgent_sessions (no) ON DELETE SET NULL
);
INSERT INTO "auwgent_runs" VALUES(1,'u1','c492671f06354a15aa6977f22a289869',1,'completed',1,1,1,0,1795883429065261,NULL,1795883429065261,1795883429123562,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "auwgent_runs" VALUES(2,'ada','e4dad9c6936d4310b5b985d63161b0f5',2,'completed',1,1,1,0,1795883429130179,NULL,1795883429130179,1795883429136878,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE auwgent_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "auwgent_schema" VALUES(1);
CREATE TABLE auwgent_sessions (
	no INTEGER NOT NULL, 
	user_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	created_at INTEGER NOT NULL, 
	updated_at INTEGER NOT NULL, 
	run_no INTEGER, 
	system_prompt TEXT NOT NULL, 
	stack TEXT NOT NULL, 
	forked_from TEXT, 
	forked_at TEXT, 
	PRIMARY KEY (no), 
	UNIQUE (user_id, id)
);
INSERT INTO "auwgent_sessions" VALUES(1,'u1','s1',1795883429062221,1795883429123207,1,'"Be kind."','["Main"]',NULL,NULL);
INSERT INTO "auwgent_sessions" VALUES(2,'ada','s2',1795883429125536,1795883429136540,2,'""','["Main"]',NULL,NULL);
CREATE TABLE auwgent_turns (
	no INTEGER NOT NULL, 
	session_no INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	seat FLOAT NOT NULL, 
	role TEXT NOT NULL, 
	agent TEXT, 
	run_no INTEGER, 
	run_id TEXT, 
	created_at INTEGER NOT NULL, 
	model TEXT, 
	input_tokens INTEGER, 
	output_tokens INTEGER, 
	cached_tokens INTEGER, 
	reasoning_tokens INTEGER, 
	usd FLOAT, 
	estimated INTEGER, 
	body TEXT NOT NULL, 
	PRIMARY KEY (no), 
	UNIQUE (session_no, id), 
	FOREIGN KEY(session_no) REFERENCES auwgent_sessions (no) ON DELETE CASCADE
);
INSERT INTO "auwgent_turns" VALUES(1,1,'c00303f81f7f44f5a85cffd2efcfdc3f',1.0,'user','Main',1,NULL,1795883429082575,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"What is the weather? é\u0000"}');
INSERT INTO "auwgent_turns" VALUES(2,1,'ed3f3ca59d2447e1b5c0c4498dbb318b',2.0,'assistant','Main',1,NULL,1795883429098279,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"","tool_calls":[{"id":"c1","name":"weather","args":{"city":"Oslo"}}]}');
INSERT INTO "auwgent_turns" VALUES(3,1,'fd69e6ba1c734a21b3a5fc7300573bdd',3.0,'tool','Main',1,NULL,1795883429110374,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"rain","tool_call_id":"c1","name":"weather","outcome":"ok"}');
INSERT INTO "auwgent_turns" VALUES(4,1,'9c86091151ca4227a26e9dbdfbd09742',4.0,'assistant','Main',1,NULL,1795883429122304,'openai/gpt-5-mini',20,3,5,0,0.25,0,'{"content":"It rains."}');
INSERT INTO "auwgent_turns" VALUES(5,2,'7f3d70f06b004d5c8a2ed9a75e896a0a',1.0,'user','Main',2,NULL,1795883429134265,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"Hello"}');
INSERT INTO "auwgent_turns" VALUES(6,2,'7cf757d37b454f94bdabd2c1eb25ae64',2.0,'assistant','Main',2,NULL,1795883429135968,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"You said: Hello"}');
CREATE TABLE auwgent_workers (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	place TEXT NOT NULL, 
	beat INTEGER NOT NULL, 
	seen_at INTEGER NOT NULL
);
CREATE INDEX auwgent_sessions_used ON auwgent_sessions (user_id, updated_at);
CREATE INDEX auwgent_runs_open ON auwgent_runs (status, priority, due_at) WHERE ended_at IS NULL;
CREATE INDEX auwgent_runs_queue ON auwgent_runs (session_no, no);
CREATE INDEX auwgent_turns_seat ON auwgent_turns (session_no, seat);
CREATE INDEX auwgent_calls_run ON auwgent_calls (run_no);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('auwgent_workers',1);
INSERT INTO "sqlite_sequence" VALUES('auwgent_runs',2);
COMMIT;
