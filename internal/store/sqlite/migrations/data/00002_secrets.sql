-- Secrets, what clients say of them, and versions of tenant keys. A server of
-- the release before works with this form too: it names the columns it knows,
-- and the triggers do for it what it does not know of.

-- +goose Up

-- NULL is said by no one; the trigger makes it what the version before said.
ALTER TABLE environments ADD COLUMN isolate_secrets INTEGER;

UPDATE environments SET isolate_secrets = 0;

-- +goose StatementBegin
CREATE TRIGGER environments_stay_isolated AFTER INSERT ON environments WHEN NEW.isolate_secrets IS NULL
BEGIN
    UPDATE environments SET isolate_secrets = coalesce((
        SELECT isolate_secrets FROM environments
        WHERE tenant = NEW.tenant AND id = NEW.id AND version = NEW.version - 1), 0)
    WHERE tenant = NEW.tenant AND id = NEW.id AND version = NEW.version;
END;
-- +goose StatementEnd

ALTER TABLE data_keys ADD COLUMN key_version INTEGER NOT NULL DEFAULT 1; -- of the tenant's key that wraps it

-- secrets, secret_values and acks hold bodies, and so have a rowid.

CREATE TABLE secrets (
    tenant      BLOB    NOT NULL,
    path        TEXT    NOT NULL,
    environment INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    author      TEXT    NOT NULL,
    deleted     INTEGER NOT NULL,
    due         INTEGER NOT NULL, -- 0 for never
    sealed      BLOB,
    PRIMARY KEY (tenant, path, environment)
) STRICT;

CREATE INDEX secrets_by_due ON secrets (due, tenant, path, environment) WHERE due != 0;

CREATE TABLE secret_values (
    tenant      BLOB    NOT NULL,
    path        TEXT    NOT NULL,
    environment INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    sealed      BLOB    NOT NULL,
    wrapped     BLOB    NOT NULL,
    key_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, path, environment, version)
) STRICT;

CREATE INDEX secret_values_by_key_version ON secret_values (tenant, key_version);

CREATE TABLE secret_edges (
    tenant      BLOB    NOT NULL,
    to_path     TEXT    NOT NULL,
    from_path   TEXT    NOT NULL,
    environment INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    PRIMARY KEY (tenant, to_path, from_path, environment)
) STRICT, WITHOUT ROWID;

CREATE TABLE acks (
    tenant      BLOB    NOT NULL,
    environment INTEGER NOT NULL,
    client      TEXT    NOT NULL,
    principal   TEXT    NOT NULL,
    time        INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    sealed      BLOB,
    PRIMARY KEY (tenant, environment, client, principal)
) STRICT;

CREATE INDEX acks_by_expires ON acks (tenant, expires);

CREATE TABLE served (
    tenant      BLOB    NOT NULL,
    principal   TEXT    NOT NULL,
    environment INTEGER NOT NULL,
    path        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    time        INTEGER NOT NULL, -- when it was first
    PRIMARY KEY (tenant, principal, environment, path, version)
) STRICT, WITHOUT ROWID;

CREATE INDEX served_by_time ON served (time);

CREATE TABLE leases (
    name   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER tenants_take_secrets_along AFTER UPDATE OF deleted ON tenants WHEN NEW.deleted != 0
BEGIN
    DELETE FROM secrets WHERE tenant = NEW.id;
    DELETE FROM secret_values WHERE tenant = NEW.id;
    DELETE FROM secret_edges WHERE tenant = NEW.id;
    DELETE FROM acks WHERE tenant = NEW.id;
    DELETE FROM served WHERE tenant = NEW.id;
END;
-- +goose StatementEnd
