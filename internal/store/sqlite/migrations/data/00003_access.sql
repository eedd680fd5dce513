-- Rules, samples of decisions, what tokens are given, and how much of what a
-- tenant uses. A server of the release before works with this form too: it names
-- the columns it knows, and what it does not know of has a default or a trigger.

-- +goose Up

ALTER TABLE tokens ADD COLUMN grants BLOB; -- under the mac, so that who does not know of them refuses the token
ALTER TABLE tokens ADD COLUMN last_used INTEGER NOT NULL DEFAULT 0; -- not under the mac

ALTER TABLE tenants ADD COLUMN rules     INTEGER NOT NULL DEFAULT 0; -- the revision that changed them last
ALTER TABLE tenants ADD COLUMN documents INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN bytes     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN secrets   INTEGER NOT NULL DEFAULT 0;

-- The revision that the three counts above are of. The release before does not
-- advance it when it writes, and nobody has counted yet, so whoever opens the
-- database counts again where it is not the tenant's revision.
ALTER TABLE tenants ADD COLUMN counted INTEGER NOT NULL DEFAULT -1;

-- rule_versions and decisions hold bodies, and so have a rowid.

CREATE TABLE rule_versions (
    tenant   BLOB    NOT NULL,
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    version  INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    author   TEXT    NOT NULL,
    deleted  INTEGER NOT NULL,
    sealed   BLOB,
    PRIMARY KEY (tenant, kind, name, version)
) STRICT;

-- The newest version of every rule.
CREATE TABLE rules (
    tenant  BLOB    NOT NULL,
    kind    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    tenant BLOB    NOT NULL,
    key    BLOB    NOT NULL,
    time   INTEGER NOT NULL,
    sealed BLOB,
    PRIMARY KEY (tenant, key)
) STRICT;

CREATE INDEX decisions_by_time ON decisions (tenant, time, key);

-- +goose StatementBegin
CREATE TRIGGER tenants_take_rules_along AFTER UPDATE OF deleted ON tenants WHEN NEW.deleted != 0
BEGIN
    DELETE FROM rules WHERE tenant = NEW.id;
    DELETE FROM rule_versions WHERE tenant = NEW.id;
    DELETE FROM decisions WHERE tenant = NEW.id;
    UPDATE tenants SET rules = 0, documents = 0, bytes = 0, secrets = 0 WHERE id = NEW.id;
END;
-- +goose StatementEnd
