-- Audit chains are kept for years: their newest records stay as rows of audit,
-- older ones go into segments, and blocks say where to look for what. A server
-- of the release before works with this form too: it names the columns it knows,
-- and what it does not know of has a default or a trigger.

-- +goose Up

-- Positions in the feed of all chains are rows of audit, so the row gets a name:
-- one without would be free to change when the file is compacted. No row is used
-- twice, also when somebody deleted the newest: whoever has read up to there would
-- pass over what comes in their place.
--
-- This copies all records: for as long as it takes, the disk holds them three
-- times, in the old table, the new one and the write-ahead log. A million takes
-- ten seconds or so. The pages of the old table are used again afterwards.

CREATE TABLE audit_with_rows (
    row      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant   BLOB    NOT NULL,
    sequence INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    record   BLOB    NOT NULL,
    UNIQUE (tenant, sequence)
) STRICT;

INSERT INTO audit_with_rows (row, tenant, sequence, hash, record)
SELECT rowid, tenant, sequence, hash, record FROM audit ORDER BY rowid;

DROP TABLE audit;

ALTER TABLE audit_with_rows RENAME TO audit;

-- What is known of a chain besides its end, which is in tenants. A chain without
-- a row has none of it.
CREATE TABLE audit_chains (
    tenant      BLOB    NOT NULL PRIMARY KEY,
    indexed     INTEGER NOT NULL DEFAULT 0, -- the last record that blocks cover, from the first on without gaps
    checkpoint  INTEGER NOT NULL DEFAULT 0, -- the last record that a checkpoint is of
    hold_reason TEXT    NOT NULL DEFAULT '',
    hold_author TEXT    NOT NULL DEFAULT '',
    hold_time   INTEGER NOT NULL DEFAULT 0 -- 0 without a hold
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_segments (
    tenant     BLOB    NOT NULL,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    from_hash  BLOB    NOT NULL,
    hash       BLOB    NOT NULL,
    first_time INTEGER NOT NULL,
    last_time  INTEGER NOT NULL,
    position   INTEGER NOT NULL, -- the row that its last record had
    state      INTEGER NOT NULL, -- 1 warm, 2 cold, 3 disposed of
    location   TEXT    NOT NULL,
    bytes      INTEGER NOT NULL,
    digest     BLOB    NOT NULL,
    packed     INTEGER NOT NULL,
    PRIMARY KEY (tenant, first)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX audit_segments_by_last ON audit_segments (tenant, last);
CREATE UNIQUE INDEX audit_segments_by_position ON audit_segments (position) WHERE state != 3;

-- audit_segment_bodies, audit_blocks, audit_checkpoints and signing_keys hold
-- bodies, and so have a rowid. Bodies of segments, which are warm, are large:
-- they are apart so that no list of segments reads past them.

CREATE TABLE audit_segment_bodies (
    tenant BLOB    NOT NULL,
    first  INTEGER NOT NULL,
    body   BLOB    NOT NULL,
    PRIMARY KEY (tenant, first)
) STRICT;

CREATE TABLE audit_blocks (
    tenant BLOB    NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    sealed BLOB    NOT NULL,
    PRIMARY KEY (tenant, first)
) STRICT;

-- AUTOINCREMENT: the highest row can go, when checkpoints are thinned out.
CREATE TABLE audit_checkpoints (
    row      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant   BLOB    NOT NULL,
    sequence INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    note     BLOB    NOT NULL,
    UNIQUE (tenant, sequence)
) STRICT;

CREATE TABLE audit_positions (
    consumer TEXT    NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    version INTEGER NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL,
    public  TEXT    NOT NULL,
    sealed  BLOB    NOT NULL,
    created INTEGER NOT NULL
) STRICT;

-- The release before does not ask for holds.
-- +goose StatementBegin
CREATE TRIGGER tenants_stay_while_held BEFORE UPDATE OF deleted ON tenants
WHEN NEW.deleted != 0 AND EXISTS (SELECT 1 FROM audit_chains WHERE tenant = NEW.id AND hold_time != 0)
BEGIN
    SELECT RAISE(ABORT, 'a legal hold stands on the tenant');
END;
-- +goose StatementEnd
