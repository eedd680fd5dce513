-- +goose Up

CREATE TABLE master (
    only  INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    value BLOB    NOT NULL
) STRICT;

-- A destroyed key is a row without one: the tombstone that refuses another.
CREATE TABLE tenant_keys (
    tenant  BLOB NOT NULL PRIMARY KEY,
    wrapped BLOB
) STRICT, WITHOUT ROWID;
