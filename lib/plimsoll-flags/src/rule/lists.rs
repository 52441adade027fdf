//! `in` and `merge`.

use serde_json::Value;

use super::Failure;
use super::eval::{Env, Given, operand};
use super::value::Val;

/// Whether the first operand is in the second: a text in a text, or a value in a list, where a list of two is a range.
pub(super) fn is_in<'a>(env: &Env<'a>, given: Given<'_, 'a>) -> Result<bool, Failure> {
    let operands = given.listed()?;
    let needle = operand(operands, 0)?;
    let Some(hay) = operands.get(1) else {
        return Ok(false);
    };
    if let Some(hay) = hay.as_str() {
        env.charge(hay.len())?;
        let needle = needle.as_str();
        return needle
            .map(|needle| hay.contains(needle))
            .ok_or(const { Failure::operand("only a text can be in a text") });
    }
    let length = hay.len().unwrap_or(0);
    env.charge(length)?;
    // A text in a list of texts is what nearly everybody asks for.
    if let (Some(needle), Val::Slice(items)) = (needle.as_str(), hay)
        && items.iter().all(Value::is_string)
    {
        return Ok(items.iter().any(|item| item.as_str() == Some(needle)));
    }
    for at in 0..length {
        if let Some(item) = hay.item(at)
            && is(needle, &item)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is(needle: &Val<'_>, item: &Val<'_>) -> Result<bool, Failure> {
    if item.len().is_some() {
        let (Some(from), Some(to)) = (item.item(0), item.item(1)) else {
            return Err(Failure::operand("a range has two ends"));
        };
        let needle = needle.to_number()?;
        return Ok(needle >= from.to_number()? && to.to_number()? >= needle);
    }
    if let Val::Num(needle) = needle {
        // Texts count as the numbers they are, and anything else does not count at all.
        #[expect(clippy::float_cmp, reason = "it is what the rule says")]
        return item.to_number().map(|item| item == *needle);
    }
    match (needle.as_str(), item.as_str()) {
        (Some(needle), Some(item)) => Ok(needle == item),
        (None, None) if !needle.is_scalar() && needle.len().is_none() && !item.is_scalar() => {
            Err(Failure::operand("objects cannot be compared"))
        }
        _ => Ok(match (needle, item) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(needle), Val::Bool(item)) => needle == item,
            _ => false,
        }),
    }
}

/// One list of all items, with lists among the operands opened.
pub(super) fn merge<'a>(env: &Env<'a>, given: Given<'_, 'a>) -> Result<Val<'a>, Failure> {
    let operands = match given {
        Given::Many(operands) => operands,
        Given::One(value) if value.is_scalar() && !value.is_null() => {
            return Ok(Val::items(vec![value.clone()]));
        }
        Given::One(_) => return Err(Failure::operand("merge takes lists and scalars")),
    };
    let mut merged = Vec::new();
    for operand in operands {
        match operand.len() {
            Some(length) => {
                env.charge(length * 4)?;
                merged.extend((0..length).filter_map(|at| operand.item(at)));
            }
            None => merged.push(operand.clone()),
        }
    }
    Ok(Val::items(merged))
}
