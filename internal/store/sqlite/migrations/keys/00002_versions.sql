-- Versions of the master key and of tenant keys. What is there already is of
-- version 1. The table master holds the newest check value, for a server of the
-- release before; the triggers do for it what it does not know of.

-- +goose Up

CREATE TABLE masters (
    version     INTEGER NOT NULL PRIMARY KEY,
    keeper      TEXT    NOT NULL,
    check_value BLOB    NOT NULL,
    created     INTEGER NOT NULL, -- nanoseconds since 1970, as all times here
    retired     INTEGER NOT NULL  -- 0 while it may wrap a tenant's key
) STRICT;

INSERT INTO masters (version, keeper, check_value, created, retired)
SELECT 1, 'file', value, unixepoch() * 1000000000, 0 FROM master;

-- +goose StatementBegin
CREATE TRIGGER master_is_first_of_masters AFTER INSERT ON master WHEN NOT EXISTS (SELECT 1 FROM masters)
BEGIN
    INSERT INTO masters (version, keeper, check_value, created, retired)
    VALUES (1, 'file', NEW.value, unixepoch() * 1000000000, 0);
END;
-- +goose StatementEnd

-- The times are NULL only until the trigger below has run.
ALTER TABLE tenant_keys ADD COLUMN master INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenant_keys ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenant_keys ADD COLUMN newest INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenant_keys ADD COLUMN created INTEGER;
ALTER TABLE tenant_keys ADD COLUMN rotated INTEGER;

UPDATE tenant_keys SET created = unixepoch() * 1000000000, rotated = unixepoch() * 1000000000;

-- +goose StatementBegin
CREATE TRIGGER tenant_keys_have_times AFTER INSERT ON tenant_keys WHEN NEW.created IS NULL
BEGIN
    UPDATE tenant_keys SET
        master = coalesce((SELECT max(version) FROM masters), 1),
        created = unixepoch() * 1000000000, rotated = unixepoch() * 1000000000
    WHERE tenant = NEW.tenant;
END;
-- +goose StatementEnd

CREATE INDEX tenant_keys_by_master ON tenant_keys (master) WHERE wrapped IS NOT NULL;
