//! The operator's fault header: `delay=250ms`, `abort=503`, `abort=503/14`, `disconnect`, `throttle=1024`, or
//! several with commas between.

use core::fmt;
use core::time::Duration;

use super::{Abort, DELAY_MAX, FaultAction, Faults};

/// Why a fault header, or one item of it, was not understood. Its `Display` says what would be right.
///
/// ```
/// use plimsoll_policy::parse_fault_header;
/// let error = parse_fault_header("delay=250").unwrap_err();
/// assert_eq!(error.to_string(), "a delay is a whole number of ms or s, at most 5 minutes, such as delay=250ms");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultHeaderError {
    /// There is nothing in the header.
    Empty,
    /// None of the faults has this name.
    Unknown,
    /// The same kind of fault stands twice.
    Twice,
    /// The value of `delay` is not a duration within bounds.
    Delay,
    /// The value of `abort` is not an error status.
    Abort,
    /// `disconnect` takes no value.
    Disconnect,
    /// The value of `throttle` is not a rate.
    Throttle,
}

impl fmt::Display for FaultHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the fault header is empty; write for instance delay=250ms",
            Self::Unknown => "the faults are delay=250ms, abort=503, disconnect, throttle=1024, with commas between",
            Self::Twice => "each kind of fault may stand once",
            Self::Delay => "a delay is a whole number of ms or s, at most 5 minutes, such as delay=250ms",
            Self::Abort => {
                "an abort is an HTTP status from 400 to 599, such as abort=503, and may add a gRPC status from 1 \
                 to 16, such as abort=503/14"
            }
            Self::Disconnect => "disconnect takes no value",
            Self::Throttle => "a throttle is a whole number of bytes per second, at least 1, such as throttle=1024",
        })
    }
}

impl core::error::Error for FaultHeaderError {}

/// Reads a fault header: one or more faults, at most one of each kind, with commas between.
///
/// # Errors
///
/// For the first item that is not a fault; names of rules are not known here, see
/// [`FaultConfig::check_header`](super::FaultConfig::check_header).
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::parse_fault_header;
/// let faults = parse_fault_header("delay=250ms, throttle=1024").unwrap();
/// assert_eq!((faults.delay, faults.throttle), (Some(Duration::from_millis(250)), Some(1024)));
/// ```
pub fn parse_fault_header(header: &str) -> Result<Faults, FaultHeaderError> {
    let mut faults = Faults::default();
    let mut empty = true;
    for item in items(header) {
        empty = false;
        let before = faults;
        let action = action(item)?;
        faults.add(action);
        // A kind that was there already: it did not change, or a value was replaced by a worse one.
        let count = |f: &Faults| {
            [
                f.delay.is_some(),
                f.abort.is_some(),
                f.disconnect,
                f.throttle.is_some(),
            ]
        };
        if count(&before) == count(&faults) {
            return Err(FaultHeaderError::Twice);
        }
    }
    if empty {
        Err(FaultHeaderError::Empty)
    } else {
        Ok(faults)
    }
}

/// The faults in a header that may also name rules: what is not a fault is passed over.
pub(super) fn understood(header: &str) -> Faults {
    let mut faults = Faults::default();
    items(header)
        .filter_map(|item| action(item).ok())
        .for_each(|action| faults.add(action));
    faults
}

/// The items of a header, without the spaces around them.
pub(super) fn items(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// One item: one line for each kind of fault.
pub(super) fn action(item: &str) -> Result<FaultAction, FaultHeaderError> {
    let (name, value) = match item.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (item, None),
    };
    match (name, value) {
        ("delay", value) => value
            .and_then(delay)
            .map(FaultAction::Delay)
            .ok_or(FaultHeaderError::Delay),
        ("abort", value) => value.and_then(abort).ok_or(FaultHeaderError::Abort),
        ("disconnect", None) => Ok(FaultAction::Disconnect),
        ("disconnect", Some(_)) => Err(FaultHeaderError::Disconnect),
        ("throttle", value) => value.and_then(throttle).ok_or(FaultHeaderError::Throttle),
        _ => Err(FaultHeaderError::Unknown),
    }
}

fn delay(value: &str) -> Option<Duration> {
    let delay = match value.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(number(millis)?),
        None => Duration::from_secs(number(value.strip_suffix('s')?)?),
    };
    (delay <= DELAY_MAX).then_some(delay)
}

fn abort(value: &str) -> Option<FaultAction> {
    let (status, grpc) = match value.split_once('/') {
        Some((status, grpc)) => (number(status)?, Some(number(grpc)?)),
        None => (number(value)?, None),
    };
    let status = u16::try_from(status)
        .ok()
        .filter(|status| (400..=599).contains(status))?;
    let grpc = match grpc {
        Some(grpc) => u8::try_from(grpc).ok().filter(|grpc| (1..=16).contains(grpc))?,
        None => Abort::of_status(status).grpc,
    };
    Some(FaultAction::Abort { status, grpc })
}

fn throttle(value: &str) -> Option<FaultAction> {
    let bytes_per_second = number(value).filter(|&rate| rate > 0)?;
    Some(FaultAction::Throttle { bytes_per_second })
}

/// Digits only: `parse` alone would take a plus sign.
fn number(digits: &str) -> Option<u64> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}
