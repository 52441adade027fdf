//! The headers of a message as they came: the bytes, and where in them each field lies.
//!
//! Nothing is hashed and nothing is copied per field. The names that the gateway itself asks for are [`Known`] by a
//! number, so that looking one up costs an index. A message is passed on by writing its fields one after the other,
//! without those that the gateway drops or writes itself.

use bytes::{Bytes, BytesMut};
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

macro_rules! known {
    ($($variant:ident $name:literal,)*) => {
        /// Names that mean something to the gateway, shortest first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Known { $($variant,)* }

        impl Known {
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $name),)*];
        }
    };
}

known! {
    Te "te",
    Date "date",
    Host "host",
    Allow "allow",
    Expect "expect",
    Trailer "trailer",
    Upgrade "upgrade",
    Forwarded "forwarded",
    RateLimit "ratelimit",
    Connection "connection",
    KeepAlive "keep-alive",
    GrpcStatus "grpc-status",
    RetryAfter "retry-after",
    TraceParent "traceparent",
    ContentType "content-type",
    GrpcMessage "grpc-message",
    GrpcTimeout "grpc-timeout",
    RequestId "x-request-id",
    ContentLength "content-length",
    Http2Settings "http2-settings",
    IdempotencyKey "idempotency-key",
    ForwardedFor "x-forwarded-for",
    Fault "x-plimsoll-fault",
    ForwardedHost "x-forwarded-host",
    ProxyConnection "proxy-connection",
    RateLimitPolicy "ratelimit-policy",
    Reason "x-plimsoll-reason",
    ForwardedProto "x-forwarded-proto",
    TransferEncoding "transfer-encoding",
    Attempt "x-plimsoll-attempt",
    Attempts "x-plimsoll-attempts",
    GrpcPushback "grpc-retry-pushback-ms",
    Deadline "x-plimsoll-deadline-ms",
    GrpcDetails "grpc-status-details-bin",
}

const KNOWN: usize = Known::ALL.len();
const LONGEST: usize = Known::ALL[KNOWN - 1].1.len();

/// Where the names of each length begin in [`Known::ALL`].
const BY_LENGTH: [u8; LONGEST + 2] = {
    let mut starts = [0; LONGEST + 2];
    let mut length = 0;
    while length < starts.len() {
        let mut at = 0;
        while at < KNOWN && Known::ALL[at].1.len() < length {
            at += 1;
        }
        starts[length] = at as u8;
        length += 1;
    }
    starts
};

/// The first eight bytes of each of them, as [`start`] has them. No two names of one length begin alike.
const STARTS: [u64; KNOWN] = {
    let mut starts = [0; KNOWN];
    let mut at = 0;
    while at < KNOWN {
        starts[at] = start(Known::ALL[at].1.as_bytes());
        at += 1;
    }
    starts
};

/// The first eight bytes of a name in lower case, or as many as there are.
const fn start(name: &[u8]) -> u64 {
    if let Some(eight) = name.first_chunk::<8>() {
        return u64::from_le_bytes(*eight) | LOWER;
    }
    let mut start = 0;
    let mut at = name.len();
    while at > 0 {
        at -= 1;
        start = start << 8 | (name[at] | 0x20) as u64;
    }
    start
}

/// The bit that tells a capital letter from a small one, in eight bytes. What else it changes makes no known name of a
/// token that is none.
const LOWER: u64 = 0x2020_2020_2020_2020;

impl Known {
    /// The known name that these bytes of a token are, in any case.
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        if name.len() > LONGEST {
            return None;
        }
        let first = usize::from(BY_LENGTH[name.len()]);
        let same_length = &STARTS[first..usize::from(BY_LENGTH[name.len() + 1])];
        let start = start(name);
        let (known, whole) = Self::ALL[first + same_length.iter().position(|known| *known == start)?];
        let rest = |name: &[u8]| {
            name.last_chunk::<8>()
                .map(|last| u64::from_le_bytes(*last) | LOWER)
        };
        let same = name.len() <= 8
            || rest(name) == rest(whole.as_bytes())
                && (name.len() <= 16 || name.eq_ignore_ascii_case(whole.as_bytes()));
        same.then_some(known)
    }

    /// The name in lower case.
    pub(crate) const fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// The sets of them are of 64 bits.
const _: () = assert!(KNOWN <= 64);

/// A set of known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(u64);

impl Names {
    /// The set of these names.
    pub(crate) const fn of(names: &[Known]) -> Self {
        let mut set = Self(0);
        let mut at = 0;
        while at < names.len() {
            set = set.with(names[at]);
            at += 1;
        }
        set
    }

    #[must_use]
    pub(crate) const fn with(self, name: Known) -> Self {
        Self(self.0 | 1 << name as u8)
    }

    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, name: Known) -> bool {
        self.0 & 1 << name as u8 != 0
    }
}

/// Fields of our own making.
pub(crate) type Own = Vec<(Known, HeaderValue)>;

/// The names of our own fields, which take the place of what came.
pub(crate) fn names_of(own: &[(Known, HeaderValue)]) -> Names {
    own.iter()
        .fold(Names::default(), |names, (name, _)| names.with(*name))
}

/// Where a field lies in its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    name: (u32, u32),
    value: (u32, u32),
    /// Where its line ends, if that is a line of HTTP/1 with CRLF; 0 if not.
    line_end: u32,
    known: Option<Known>,
}

impl Row {
    /// A field whose name and value lie at these places. A head has far fewer than 4 GiB.
    pub(crate) fn new(
        name: std::ops::Range<usize>,
        value: std::ops::Range<usize>,
        line_end: Option<usize>,
        known: Option<Known>,
    ) -> Self {
        Self {
            name: (name.start as u32, name.end as u32),
            value: (value.start as u32, value.end as u32),
            line_end: line_end.unwrap_or(0) as u32,
            known,
        }
    }
}

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Fields {
    bytes: Bytes,
    rows: Vec<Row>,
    /// The first row of each known name, counted from 1; 0 for none.
    first: [u16; KNOWN],
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            bytes: Bytes::new(),
            rows: Vec::new(),
            first: [0; KNOWN],
        }
    }
}

impl Fields {
    /// The fields that lie at `rows` of `bytes`.
    pub(crate) fn new(bytes: Bytes, rows: Vec<Row>) -> Self {
        let mut first = [0; KNOWN];
        // Backwards, so that the first of several stands. Beyond 65,535 fields, which no limit allows, one is not
        // found by its number.
        for (at, row) in rows.iter().enumerate().rev() {
            if let (Some(known), Ok(place)) = (row.known, u16::try_from(at + 1)) {
                first[known as usize] = place;
            }
        }
        Self { bytes, rows, first }
    }

    /// How many there are; over HTTP/2, all pieces of a cookie are one.
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// About as many bytes as writing all of them takes.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + 2 * self.rows.len()
    }

    fn slice(&self, (start, end): (u32, u32)) -> &[u8] {
        &self.bytes[start as usize..end as usize]
    }

    fn row(&self, name: Known) -> Option<&Row> {
        let place = self.first[name as usize];
        (place > 0).then(|| &self.rows[usize::from(place) - 1])
    }

    pub(crate) fn has(&self, name: Known) -> bool {
        self.first[name as usize] > 0
    }

    /// The first value of a name.
    pub(crate) fn get(&self, name: Known) -> Option<&[u8]> {
        self.row(name).map(|row| self.slice(row.value))
    }

    /// The first value of a name, as something to keep. It shares the message's bytes.
    pub(crate) fn value(&self, name: Known) -> Option<HeaderValue> {
        let (start, end) = self.row(name)?.value;
        HeaderValue::from_maybe_shared(self.bytes.slice(start as usize..end as usize)).ok()
    }

    /// The first value of a name, if it is ASCII text.
    pub(crate) fn text(&self, name: Known) -> Option<&str> {
        str::from_utf8(self.get(name)?)
            .ok()
            .filter(|text| text.is_ascii())
    }

    /// The first value of a name as a number; `None` when it is absent or no number.
    pub(crate) fn number(&self, name: Known) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// All values of a name, in their order.
    pub(crate) fn all(&self, name: Known) -> impl DoubleEndedIterator<Item = &[u8]> {
        let first = usize::from(self.first[name as usize]);
        let rows = if first == 0 { &[] } else { &self.rows[first - 1..] };
        rows.iter()
            .filter(move |row| row.known == Some(name))
            .map(|row| self.slice(row.value))
    }

    /// The first value of any name.
    pub(crate) fn named(&self, name: &HeaderName) -> Option<&[u8]> {
        self.all_named(name).next()
    }

    /// All values of any name.
    pub(crate) fn all_named(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let name = name.as_str().as_bytes();
        let is_it = move |row: &&Row| self.slice(row.name).eq_ignore_ascii_case(name);
        self.rows.iter().filter(is_it).map(|row| self.slice(row.value))
    }

    /// Whether `word` is one of the items of a name's lists.
    pub(crate) fn lists(&self, name: Known, word: &str) -> bool {
        self.items(name).any(|item| item.eq_ignore_ascii_case(word))
    }

    /// The items of a name's lists.
    pub(crate) fn items(&self, name: Known) -> impl Iterator<Item = &str> {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .filter_map(|item| str::from_utf8(item).ok())
            .map(str::trim)
    }

    /// Hands every field that is not `dropped` to `sink`.
    pub(crate) fn pass(&self, dropped: impl Fn(Option<Known>, &[u8]) -> bool, sink: &mut impl Sink) {
        // Lines that lie side by side go together.
        let mut run = (0, 0);
        for row in &self.rows {
            if dropped(row.known, self.slice(row.name)) {
                continue;
            }
            if row.name.0 == run.1 && row.line_end != 0 {
                run.1 = row.line_end;
                continue;
            }
            sink.lines(self, run);
            run = (row.name.0, row.line_end);
            if row.line_end == 0 {
                run = (0, 0);
                sink.pass(self.slice(row.name), self.slice(row.value));
            }
        }
        sink.lines(self, run);
    }

    /// The fields whose lines lie between two places.
    fn within(&self, (start, end): (u32, u32)) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| (start..end).contains(&row.name.0))
    }
}

/// An HTTP/2 message's fields, as the lines that they would be in HTTP/1. Its cookies, which HTTP/2 may split, are joined (RFC 9113 §8.2.3).
impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        let mut bytes = BytesMut::with_capacity(512);
        let mut rows = Vec::with_capacity(map.len());
        let mut put = |name: &HeaderName, values: &mut dyn Iterator<Item = &HeaderValue>, between: &[u8]| {
            let name_at = bytes.len();
            bytes.extend_from_slice(name.as_str().as_bytes());
            let name_end = bytes.len();
            bytes.extend_from_slice(b": ");
            let value_at = bytes.len();
            for (index, value) in values.enumerate() {
                if index > 0 {
                    bytes.extend_from_slice(between);
                }
                bytes.extend_from_slice(value.as_bytes());
            }
            let value_end = bytes.len();
            bytes.extend_from_slice(b"\r\n");
            let known = Known::of(name.as_str().as_bytes());
            let line_end = Some(bytes.len());
            rows.push(Row::new(name_at..name_end, value_at..value_end, line_end, known));
        };
        for (name, value) in map {
            if name != COOKIE {
                put(name, &mut std::iter::once(value), b"");
            }
        }
        if map.contains_key(COOKIE) {
            put(&COOKIE, &mut map.get_all(COOKIE).iter(), b"; ");
        }
        Self::new(bytes.freeze(), rows)
    }
}

/// Where a message's fields are written to: lines of HTTP/1, or a map for HTTP/2.
pub(crate) trait Sink {
    /// Writes one field.
    fn pass(&mut self, name: &[u8], value: &[u8]);
    /// Writes all fields that lie between two places.
    fn lines(&mut self, fields: &Fields, run: (u32, u32));
    /// Writes a field of our own that is kept as a value.
    fn own(&mut self, name: Known, value: &HeaderValue);
    /// Writes a number of our own.
    fn number(&mut self, name: Known, number: u64);
}

impl Sink for Vec<u8> {
    fn pass(&mut self, name: &[u8], value: &[u8]) {
        self.reserve(name.len() + value.len() + 4);
        self.extend_from_slice(name);
        self.extend_from_slice(b": ");
        self.extend_from_slice(value);
        self.extend_from_slice(b"\r\n");
    }

    fn lines(&mut self, fields: &Fields, run: (u32, u32)) {
        self.extend_from_slice(fields.slice(run));
    }

    fn own(&mut self, name: Known, value: &HeaderValue) {
        self.pass(name.name().as_bytes(), value.as_bytes());
    }

    fn number(&mut self, name: Known, number: u64) {
        self.pass(
            name.name().as_bytes(),
            itoa::Buffer::new().format(number).as_bytes(),
        );
    }
}

impl Sink for HeaderMap {
    fn pass(&mut self, name: &[u8], value: &[u8]) {
        // Both were checked by the scanner, whose tables are no wider.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            self.append(name, value);
        }
    }

    fn lines(&mut self, fields: &Fields, run: (u32, u32)) {
        for row in fields.within(run) {
            self.pass(fields.slice(row.name), fields.slice(row.value));
        }
    }

    fn own(&mut self, name: Known, value: &HeaderValue) {
        self.append(HeaderName::from_static(name.name()), value.clone());
    }

    fn number(&mut self, name: Known, number: u64) {
        self.append(HeaderName::from_static(name.name()), HeaderValue::from(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case_and_the_table_is_in_order() {
        for (index, (known, name)) in Known::ALL.iter().enumerate() {
            assert_eq!(*known as usize, index);
            assert_eq!(Known::of(name.to_ascii_uppercase().as_bytes()), Some(*known));
            assert!(
                index == 0 || Known::ALL[index - 1].1.len() <= name.len(),
                "{name}"
            );
        }
        for unknown in ["", "x", "hosts", "x-plimsoll-something-that-is-longer-than-any"] {
            assert_eq!(Known::of(unknown.as_bytes()), None);
        }
    }

    #[test]
    fn one_other_byte_makes_it_another_name() {
        let tokens = || (0..=u8::MAX).filter(|byte| HeaderName::from_bytes(&[*byte]).is_ok());
        for (_, known) in Known::ALL {
            for at in 0..known.len() {
                for byte in tokens() {
                    let mut name = known.as_bytes().to_vec();
                    name[at] = byte;
                    let expected = Known::ALL
                        .iter()
                        .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(&name));
                    assert_eq!(Known::of(&name), expected.map(|(known, _)| *known), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_dropped_splits_a_run_and_nothing_else_is_lost() {
        let map: HeaderMap = ["a", "b", "host", "c", "d"]
            .into_iter()
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")))
            .collect();
        let fields = Fields::from(&map);
        let mut lines = Vec::new();
        fields.pass(
            |known, name| known == Some(Known::Host) || name == b"d",
            &mut lines,
        );
        let mut kept = HeaderMap::new();
        fields.pass(
            |known, name| known == Some(Known::Host) || name == b"d",
            &mut kept,
        );
        let text = String::from_utf8(lines).unwrap();
        let mut names: Vec<_> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
        let mut also: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        also.sort_unstable();
        assert_eq!((names, also), (vec!["a", "b", "c"], vec!["a", "b", "c"]));
    }

    #[test]
    fn fields_of_http2_are_found_and_cookies_joined() {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("cookie", "a=1"),
            ("te", "trailers"),
            ("cookie", "b=2"),
            ("te", "gzip"),
        ] {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let fields = Fields::from(&map);
        assert_eq!(fields.named(&COOKIE), Some(&b"a=1; b=2"[..]));
        assert_eq!(fields.get(Known::Te), Some(&b"trailers"[..]));
        assert_eq!(
            fields.all(Known::Te).collect::<Vec<_>>(),
            [&b"trailers"[..], b"gzip"]
        );
        assert!(fields.lists(Known::Te, "GZIP") && !fields.lists(Known::Te, "zip"));
    }
}
