-- Locks: rows of this instance alone, which nobody else writes. Index: the primary keys. Rows: one of each objective that
-- was counted since the last second; one statement, so that a process that is killed within it has written all or none.
WITH rows AS (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::smallint[], $8::bytea[])
        AS r (objective, counted, minute, instance, good, bad, measured, log)
),
written AS (
    INSERT INTO plimsoll.minutes AS known (objective, counted, minute, instance, good, bad, measured)
    SELECT objective, counted, minute, instance, good, bad, measured
    FROM rows
    ON CONFLICT (objective, counted, minute, instance)
    DO UPDATE SET good = excluded.good, bad = excluded.bad, measured = excluded.measured
    -- A statement that was held up may come after a later one.
    WHERE excluded.good >= known.good AND excluded.bad >= known.bad AND excluded.measured >= known.measured
    RETURNING objective, counted, minute, instance
)
INSERT INTO plimsoll.lately AS latest (objective, counted, minute, instance, place, good, bad, measured, log)
SELECT objective, counted, minute, instance, pg_current_xact_id()::text::bigint, good, bad, measured, log
FROM rows JOIN written USING (objective, counted, minute, instance)
ON CONFLICT (objective, counted, minute, instance)
DO UPDATE SET
    place = excluded.place,
    good = excluded.good,
    bad = excluded.bad,
    measured = excluded.measured,
    -- Who has no log takes none away.
    log = coalesce(excluded.log, latest.log)
