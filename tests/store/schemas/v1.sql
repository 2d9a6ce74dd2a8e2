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
INSERT INTO "auwgent_calls" VALUES(1,1,'c1','weather',1,1795885307764318,1795885307779436);
CREATE TABLE auwgent_runs (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	user_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	session_no INTEGER, 
	status TEXT NOT NULL, 
	leg INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	worker INTEGER, 
	starts INTEGER DEFAULT '0' NOT NULL, 
	queue TEXT, 
	job TEXT, 
	priority INTEGER DEFAULT '0' NOT NULL, 
	made_at INTEGER NOT NULL, 
	due_at INTEGER, 
	started_at INTEGER, 
	ended_at INTEGER, 
	cancel_at INTEGER, 
	asked TEXT, 
	input TEXT, 
	settings TEXT, 
	pending TEXT, 
	answers TEXT, 
	usage TEXT, 
	progress TEXT, 
	error TEXT, 
	UNIQUE (user_id, id), 
	FOREIGN KEY(session_no) REFERENCES auwgent_sessions (no) ON DELETE SET NULL
);
INSERT INTO "auwgent_runs" VALUES(1,'u1','82becce83adf41f7bf4e3de41c147dcf',1,'completed',1,1,1,0,NULL,NULL,0,1795885307716774,NULL,1795885307716774,1795885307792247,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "auwgent_runs" VALUES(2,'ada','987e3ab5602049b8bc525343bc261841',2,'completed',1,1,1,0,NULL,NULL,0,1795885307800318,NULL,1795885307800318,1795885307815432,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "auwgent_sessions" VALUES(1,'u1','s1',1795885307708768,1795885307791670,1,'"Be kind."','["Main"]',NULL,NULL);
INSERT INTO "auwgent_sessions" VALUES(2,'ada','s2',1795885307799327,1795885307814986,2,'""','["Main"]',NULL,NULL);
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
	written_tokens INTEGER, 
	reasoning_tokens INTEGER, 
	usd FLOAT, 
	estimated INTEGER, 
	body TEXT NOT NULL, 
	PRIMARY KEY (no), 
	UNIQUE (session_no, id), 
	FOREIGN KEY(session_no) REFERENCES auwgent_sessions (no) ON DELETE CASCADE
);
INSERT INTO "auwgent_turns" VALUES(1,1,'c4e2a11c796a44c2b636486dfe55aa4d',1.0,'user','Main',1,NULL,1795885307735463,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"What is the weather? é\u0000"}');
INSERT INTO "auwgent_turns" VALUES(2,1,'8578fb46b44641df9d395b3bf27d37ee',2.0,'assistant','Main',1,NULL,1795885307762349,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"","tool_calls":[{"id":"c1","name":"weather","args":{"city":"Oslo"}}]}');
INSERT INTO "auwgent_turns" VALUES(3,1,'ab8d6cd7662f4713826a8aa55486c84f',3.0,'tool','Main',1,NULL,1795885307774334,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"rain","tool_call_id":"c1","name":"weather","outcome":"ok"}');
INSERT INTO "auwgent_turns" VALUES(4,1,'7a1de05def7b424185ce6c03477a7839',4.0,'assistant','Main',1,NULL,1795885307790388,'openai/gpt-5-mini',20,3,5,0,0,0.25,0,'{"content":"It rains."}');
INSERT INTO "auwgent_turns" VALUES(5,2,'790d2ffa41f14f4e8b4d1ccd02d89c13',1.0,'user','Main',2,NULL,1795885307810334,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"Hello"}');
INSERT INTO "auwgent_turns" VALUES(6,2,'205375202f644e0397601e8e7299dbe5',2.0,'assistant','Main',2,NULL,1795885307814170,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"You said: Hello"}');
CREATE TABLE auwgent_workers (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	place TEXT NOT NULL, 
	beat INTEGER NOT NULL, 
	seen_at INTEGER NOT NULL, 
	takes INTEGER
);
CREATE INDEX auwgent_sessions_used ON auwgent_sessions (user_id, updated_at);
CREATE INDEX auwgent_runs_open ON auwgent_runs (status, queue, priority, due_at) WHERE ended_at IS NULL;
CREATE INDEX auwgent_runs_queue ON auwgent_runs (session_no, no);
CREATE INDEX auwgent_turns_seat ON auwgent_turns (session_no, seat);
CREATE INDEX auwgent_calls_run ON auwgent_calls (run_no);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('auwgent_workers',1);
INSERT INTO "sqlite_sequence" VALUES('auwgent_runs',2);
COMMIT;
