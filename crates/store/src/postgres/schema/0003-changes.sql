-- Who leads, by whose word more may be exposed; and what several count of a change, each for itself.
CREATE TABLE plimsoll.leader (
    one   integer PRIMARY KEY CHECK (one = 1),
    who   text    NOT NULL,
    fence bigint  NOT NULL,
    until bigint  NOT NULL
);
CREATE TABLE plimsoll.shared (
    about    text    NOT NULL,
    part     integer NOT NULL,
    instance text    NOT NULL,
    said     bigint  NOT NULL,
    body     bytea   NOT NULL,
    PRIMARY KEY (about, part, instance)
);
