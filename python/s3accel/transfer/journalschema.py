"""The journal's tables, and what the database itself guarantees about them."""

from __future__ import annotations

__all__ = ["APPLICATION_ID", "SCHEMA", "VERSION"]

#: "s3aJ": marks the file as ours (SQLite's application_id, shown by file(1)).
APPLICATION_ID = 0x7333614A
#: Raised with every change of the schema.
VERSION = 2

# A job's row is written once; afterwards only its progress and its outcome change, and the outcome only once: the
# triggers hold whatever the program does. `watch` may outlive the outcome, since what a dead process had sent may arrive
# later still. Parts lie under (job, upload) since a job may need a second upload.
SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  bucket TEXT NOT NULL,
  key TEXT NOT NULL,
  path BLOB NOT NULL,
  size INTEGER NOT NULL,
  mtime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  options TEXT NOT NULL,
  seal INTEGER NOT NULL,
  accepted REAL NOT NULL,
  begun REAL,
  runs INTEGER NOT NULL DEFAULT 0,
  trouble TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'stored', 'failed')),
  finished REAL,
  outcome TEXT NOT NULL DEFAULT '',
  watch REAL
);
CREATE INDEX pending_jobs ON jobs (id) WHERE state = 'pending';
CREATE INDEX pending_keys ON jobs (bucket, key, id) WHERE state = 'pending';
CREATE INDEX watched_jobs ON jobs (id) WHERE watch IS NOT NULL;
CREATE TABLE uploads (
  job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  upload_id TEXT NOT NULL,
  part_size INTEGER NOT NULL,
  checksum TEXT NOT NULL,
  route TEXT NOT NULL,
  created REAL NOT NULL,
  PRIMARY KEY (job, upload_id)
);
CREATE TABLE parts (
  job INTEGER NOT NULL,
  upload_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  etag TEXT NOT NULL,
  size INTEGER NOT NULL,
  checksum TEXT NOT NULL,
  PRIMARY KEY (job, upload_id, number),
  FOREIGN KEY (job, upload_id) REFERENCES uploads (job, upload_id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TRIGGER one_outcome BEFORE UPDATE OF state, outcome, finished ON jobs WHEN OLD.state <> 'pending'
  BEGIN SELECT RAISE(ABORT, 'the job has its outcome already'); END;
CREATE TRIGGER same_job BEFORE UPDATE OF bucket, key, path, size, mtime_ns, inode, options, seal, accepted ON jobs
  BEGIN SELECT RAISE(ABORT, 'an accepted job does not change'); END;
CREATE TRIGGER no_loss BEFORE DELETE ON jobs WHEN OLD.state = 'pending'
  BEGIN SELECT RAISE(ABORT, 'the job has no outcome yet'); END;
"""
