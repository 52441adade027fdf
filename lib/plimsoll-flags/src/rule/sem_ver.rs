//! `sem_ver`: versions compared by the rules of semver.org, 2.0.0.
//!
//! A `v` or `V` in front is passed over, and so is what follows a plus. Minor and patch may be left out, but then
//! nothing may follow. Numbers have any length and no leading zeros.

use core::cmp::Ordering;

use super::eval::Given;
use super::value::Val;

/// A version, whose numbers are kept as their digits.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    numbers: [&'a str; 3],
    pre_release: Option<&'a str>,
}

/// `[version, operator, version]`; null if it is not that.
pub(super) fn sem_ver<'a>(given: Given<'_, 'a>) -> Val<'a> {
    let Given::Many([one, operator, other]) = given else {
        return Val::Null;
    };
    compare(one, operator, other).map_or(Val::Null, Val::Bool)
}

fn compare(one: &Val<'_>, operator: &Val<'_>, other: &Val<'_>) -> Option<bool> {
    let (mut one_number, mut other_number) = (String::new(), String::new());
    let one = Version::parse(written(one, &mut one_number)?)?;
    let other = Version::parse(written(other, &mut other_number)?)?;
    let order = one.cmp(&other);
    Some(match operator.as_str()? {
        "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "^" => one.numbers[0] == other.numbers[0],
        "~" => one.numbers[..2] == other.numbers[..2],
        _ => return None,
    })
}

/// A version as a text; a number is taken as it is usually written.
fn written<'s>(value: &'s Val<'_>, number: &'s mut String) -> Option<&'s str> {
    if let Val::Num(value) = value {
        // From a million on, and below a ten-thousandth, flagd writes an exponent, and then it is no version.
        let size = value.abs();
        if size >= 1e6 || (size < 1e-4 && size > 0.0) {
            return None;
        }
        *number = value.to_string();
        return Some(number);
    }
    value.as_str()
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut numbers = ["0"; 3];
        let mut rest = text;
        for (at, number) in numbers.iter_mut().enumerate() {
            if at > 0 {
                if rest.is_empty() {
                    break;
                }
                rest = rest.strip_prefix('.')?;
            }
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let taken;
            (taken, rest) = rest.split_at(digits);
            if taken.is_empty() || (taken.len() > 1 && taken.starts_with('0')) {
                return None;
            }
            *number = taken;
            if at < 2 && !rest.is_empty() && !rest.starts_with('.') {
                return None;
            }
        }
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let pre_release = match rest {
            "" => None,
            _ => Some(rest.strip_prefix('-')?),
        };
        let fine = build.is_none_or(|build| build.split('.').all(is_identifier))
            && pre_release.is_none_or(|pre| {
                pre.split('.').all(|part| {
                    is_identifier(part) && !(is_number(part) && part.len() > 1 && part.starts_with('0'))
                })
            });
        fine.then_some(Self { numbers, pre_release })
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = self.numbers.iter().zip(other.numbers);
        numbers
            .map(|(one, other)| by_number(one, other))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| by_pre_release(self.pre_release, other.pre_release))
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits without leading zeros: the longer are more.
fn by_number(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn by_pre_release(one: Option<&str>, other: Option<&str>) -> Ordering {
    let (one, other) = match (one, other) {
        (None, None) => return Ordering::Equal,
        (None, Some(_)) => return Ordering::Greater,
        (Some(_), None) => return Ordering::Less,
        (Some(one), Some(other)) => (one, other),
    };
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let order = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match (is_number(one), is_number(other)) {
                (true, true) => by_number(one, other),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => one.cmp(other),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Whether a value is a version.
pub(super) fn is_version(value: &Val<'_>) -> bool {
    written(value, &mut String::new()).is_some_and(|text| Version::parse(text).is_some())
}
