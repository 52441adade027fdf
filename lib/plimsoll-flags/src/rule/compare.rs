//! `==`, `===`, `<` and their like.

use super::Failure;
use super::eval::Given;
use super::expr::Eager;
use super::value::Val;

/// What a comparison says of its operands. Fewer than two compare as false.
pub(super) fn compare(operator: Eager, given: Given<'_, '_>) -> Result<bool, Failure> {
    match (operator, given) {
        (Eager::Same, Given::One(_)) => return Ok(false),
        (Eager::NotSame, Given::One(_)) => return Ok(true),
        _ => {}
    }
    let (one, other, third) = match given.listed()? {
        [one, other, third] => (one, other, Some(third)),
        [one, other, ..] => (one, other, None),
        _ => return Ok(matches!(operator, Eager::NotEqual | Eager::NotSame)),
    };
    let between = |holds: fn(&Val<'_>, &Val<'_>) -> bool| {
        holds(one, other) && third.is_none_or(|third| holds(other, third))
    };
    Ok(match operator {
        Eager::Equal => equal(one, other),
        Eager::NotEqual => !equal(one, other),
        Eager::Same => same(one, other),
        Eager::NotSame => !same(one, other),
        Eager::Less => between(less),
        Eager::LessOrEqual => between(|one, other| less(one, other) || equal(one, other)),
        Eager::Greater => between(|one, other| less(other, one)),
        _ => between(|one, other| less(other, one) || equal(other, one)),
    })
}

fn less(one: &Val<'_>, other: &Val<'_>) -> bool {
    match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => one < other,
        _ => one.compared() < other.compared(),
    }
}

/// Null equals null alone; texts are compared as texts, and everything else as numbers.
#[expect(clippy::float_cmp, reason = "it is what the rule says")]
fn equal(one: &Val<'_>, other: &Val<'_>) -> bool {
    if one.is_null() || other.is_null() {
        return one.is_null() && other.is_null();
    }
    match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => one == other,
        _ => one.compared() == other.compared(),
    }
}

fn same(one: &Val<'_>, other: &Val<'_>) -> bool {
    let kind = |val: &Val<'_>| match val {
        Val::Null => 0,
        Val::Bool(_) => 1,
        Val::Num(_) => 2,
        Val::Str(_) | Val::Text(_) => 3,
        Val::Slice(_) | Val::Items(_) => 4,
        Val::Map(_) | Val::Context | Val::Flagd | Val::Fold(_) => 5,
    };
    kind(one) == kind(other) && equal(one, other)
}
