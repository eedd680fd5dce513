-- Times are nanoseconds since 1970, 0 for none. Ids of tenants are 16 bytes,
-- 16 zeros for the server itself, which has a log and an audit chain of its own.

-- +goose Up

CREATE TABLE tenants (
    id             BLOB    NOT NULL PRIMARY KEY,
    name           TEXT    UNIQUE, -- NULL for the server and once deleted
    created        INTEGER NOT NULL,
    deleted        INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    time           INTEGER NOT NULL,
    environments   INTEGER NOT NULL, -- the revision that changed them last
    audit_sequence INTEGER NOT NULL,
    audit_hash     BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO tenants (id, name, created, deleted, revision, time, environments, audit_sequence, audit_hash)
VALUES (zeroblob(16), NULL, 0, 0, 0, 0, 0, 0, zeroblob(32));

-- Tables with a rowid (layer_versions, log, audit) hold bodies. Those are appended
-- in commit order, so that a group of writes fills a few pages whatever tenants
-- and paths it touches; small indexes find them. Tables without one hold little,
-- in the order it is read in.

CREATE TABLE layer_versions (
    row         INTEGER NOT NULL PRIMARY KEY,
    tenant      BLOB    NOT NULL,
    path        TEXT    NOT NULL,
    environment INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    author      TEXT    NOT NULL,
    state       INTEGER NOT NULL,
    sealed      BLOB
) STRICT;

CREATE UNIQUE INDEX layer_versions_by_revision
    ON layer_versions (tenant, path, environment, revision);

-- The newest version of every layer.
CREATE TABLE layers (
    tenant      BLOB    NOT NULL,
    path        TEXT    NOT NULL,
    environment INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    state       INTEGER NOT NULL,
    row         INTEGER NOT NULL, -- of layer_versions
    PRIMARY KEY (tenant, path, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE edges (
    tenant      BLOB    NOT NULL,
    to_path     TEXT    NOT NULL,
    from_path   TEXT    NOT NULL,
    environment INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    PRIMARY KEY (tenant, to_path, from_path, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE log (
    tenant              BLOB    NOT NULL,
    revision            INTEGER NOT NULL,
    time                INTEGER NOT NULL,
    kind                TEXT    NOT NULL,
    author              TEXT    NOT NULL,
    subject_environment INTEGER NOT NULL,
    subject_path        TEXT    NOT NULL,
    subject_version     INTEGER NOT NULL,
    sealed              BLOB,
    PRIMARY KEY (tenant, revision)
) STRICT;

CREATE TABLE audit (
    tenant   BLOB    NOT NULL,
    sequence INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    record   BLOB    NOT NULL,
    PRIMARY KEY (tenant, sequence)
) STRICT;

CREATE TABLE environments (
    tenant   BLOB    NOT NULL,
    id       INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    parent   INTEGER NOT NULL,
    deleted  INTEGER NOT NULL,
    PRIMARY KEY (tenant, id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
    tenant   BLOB    NOT NULL,
    name     TEXT    NOT NULL,
    target   INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    author   TEXT    NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    id           TEXT    NOT NULL PRIMARY KEY,
    tenant       BLOB    NOT NULL,
    name         TEXT    NOT NULL,
    hash         BLOB    NOT NULL,
    tenant_admin INTEGER NOT NULL,
    server_admin INTEGER NOT NULL,
    author       TEXT    NOT NULL,
    created      INTEGER NOT NULL,
    expires      INTEGER NOT NULL,
    revoked      INTEGER NOT NULL,
    mac          BLOB    NOT NULL -- of all columns but revoked, under a key that the database does not have
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_by_tenant ON tokens (tenant, id);

CREATE TABLE idempotent (
    tenant      BLOB    NOT NULL,
    principal   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    sealed      BLOB,
    revision    INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (tenant, principal, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotent_by_expires ON idempotent (expires);

CREATE TABLE data_keys (
    tenant   BLOB    NOT NULL,
    epoch    INTEGER NOT NULL,
    wrapped  BLOB    NOT NULL,
    reserved INTEGER NOT NULL,
    PRIMARY KEY (tenant, epoch)
) STRICT, WITHOUT ROWID;
