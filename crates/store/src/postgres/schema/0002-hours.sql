-- What was counted long ago is kept by the hour: rows of the instance `hour`, at the hour's first minute, whose `measured` is
-- how many seconds of a minute were measured on average.
DROP INDEX plimsoll.minutes_apart;
CREATE INDEX minutes_apart ON plimsoll.minutes (minute) WHERE instance <> '' AND instance <> 'hour';
CREATE INDEX minutes_hours ON plimsoll.minutes (minute) WHERE instance = 'hour';
