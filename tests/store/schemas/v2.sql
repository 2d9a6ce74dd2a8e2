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
INSERT INTO "auwgent_calls" VALUES(1,1,'c1','weather',1,1795407237494144,1795407237496043);
CREATE TABLE auwgent_runs (
	no INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	session_no INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	status TEXT NOT NULL, 
	beat INTEGER NOT NULL, 
	started_at INTEGER NOT NULL, 
	ended_at INTEGER, 
	error TEXT, 
	FOREIGN KEY(session_no) REFERENCES auwgent_sessions (no) ON DELETE CASCADE
);
INSERT INTO "auwgent_runs" VALUES(1,1,'b051740e94a3446283ce87efc95732cc','completed',1795407237487980,1795407237488033,1795407237499547,NULL);
INSERT INTO "auwgent_runs" VALUES(2,2,'505d71b0622c4b57844254dc42bc017f','completed',1795407237500010,1795407237500711,1795407237501984,NULL);
CREATE TABLE auwgent_schema (
	version INTEGER NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "auwgent_schema" VALUES(2);
CREATE TABLE auwgent_sessions (
	no INTEGER NOT NULL, 
	user_id TEXT NOT NULL, 
	id TEXT NOT NULL, 
	created_at INTEGER NOT NULL, 
	updated_at INTEGER NOT NULL, 
	run_no INTEGER, 
	system_prompt TEXT NOT NULL, 
	stack TEXT NOT NULL, 
	PRIMARY KEY (no), 
	UNIQUE (user_id, id)
);
INSERT INTO "auwgent_sessions" VALUES(1,'u1','s1',1795407237487390,1795407237499452,1,'"Be kind."','["Main"]');
INSERT INTO "auwgent_sessions" VALUES(2,'ada','s2',1795407237500601,1795407237501892,2,'""','["Main"]');
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
INSERT INTO "auwgent_turns" VALUES(1,1,'e406cc90d65146acba5ec1a890a261e8',1.0,'user','Main',1,NULL,1795407237491764,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"What is the weather? é\u0000"}');
INSERT INTO "auwgent_turns" VALUES(2,1,'6823fa2932e643f5834f6feb8b0dca5a',2.0,'assistant','Main',1,NULL,1795407237491819,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"","tool_calls":[{"id":"c1","name":"weather","args":{"city":"Oslo"}}]}');
INSERT INTO "auwgent_turns" VALUES(3,1,'5886e88cefb44249a74284c05bf5df17',3.0,'tool','Main',1,NULL,1795407237494985,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"rain","tool_call_id":"c1","name":"weather","outcome":"ok"}');
INSERT INTO "auwgent_turns" VALUES(4,1,'31fef78fd27f4177be08cf1b20be9e13',4.0,'assistant','Main',1,NULL,1795407237498927,'openai/gpt-5-mini',20,3,5,0,0.25,0,'{"content":"It rains."}');
INSERT INTO "auwgent_turns" VALUES(5,2,'eca9d2ca26e441cfaa153606e6c03336',1.0,'user','Main',2,NULL,1795407237501019,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"Hello"}');
INSERT INTO "auwgent_turns" VALUES(6,2,'1f7a3f63691d4cf1949ccdb9543a91c1',2.0,'assistant','Main',2,NULL,1795407237501613,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"content":"You said: Hello"}');
CREATE INDEX auwgent_sessions_used ON auwgent_sessions (user_id, updated_at);
CREATE INDEX auwgent_runs_queue ON auwgent_runs (session_no, no);
CREATE INDEX auwgent_turns_seat ON auwgent_turns (session_no, seat);
CREATE INDEX auwgent_calls_run ON auwgent_calls (run_no);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('auwgent_runs',2);
COMMIT;
