//! `cat`, `substr`, `starts_with` and `ends_with`.

use super::Failure;
use super::eval::{Env, Given, operand};
use super::value::{Val, signed, whole};

pub(super) fn cat<'a>(env: &Env<'a>, given: Given<'_, 'a>) -> Result<Val<'a>, Failure> {
    if let Given::One(value) = given
        && value.as_str().is_some()
    {
        return Ok(value.clone());
    }
    let parts = given.listed()?;
    if let [part] = parts
        && part.as_str().is_some()
    {
        return Ok(part.clone());
    }
    let mut joined = String::with_capacity(64);
    for part in parts {
        part.write_text(&mut joined)?;
        env.charge(part.as_str().map_or(0, str::len))?;
    }
    let trimmed = joined.trim();
    if parts.len() > 1 && trimmed.len() < joined.len() {
        return Ok(Val::text(trimmed.to_owned()));
    }
    Ok(Val::text(joined))
}

/// A piece of a text, counted in characters; from the end if it begins or ends below zero.
pub(super) fn substr<'a>(env: &Env<'a>, given: Given<'_, 'a>) -> Result<Val<'a>, Failure> {
    let operands = given.listed()?;
    let mut text = String::new();
    operand(operands, 0)?.write_text(&mut text)?;
    env.charge(text.len())?;
    let length = signed(text.chars().count());
    let from = whole(operand(operands, 1)?.to_number()?);
    let from = if from < 0 { length.wrapping_add(from) } else { from };
    if !(0..=length).contains(&from) {
        return Ok(Val::text(text));
    }
    let to = match operands {
        [_, _, asked] => match whole(asked.to_number()?) {
            asked if asked < 0 => length.wrapping_add(asked),
            asked => from.wrapping_add(asked),
        },
        _ => length,
    };
    let to = to.min(length);
    if to < from {
        return Err(Failure::operand("substr ends before it begins"));
    }
    let piece = text.chars().skip(from as usize).take((to - from) as usize);
    Ok(Val::text(piece.collect()))
}

/// Whether the first text has the second at one of its ends; null unless these are two texts.
pub(super) fn affix<'a>(given: Given<'_, 'a>, has: fn(&str, &str) -> bool) -> Val<'a> {
    let Given::Many([text, affix]) = given else {
        return Val::Null;
    };
    match (text.as_str(), affix.as_str()) {
        (Some(text), Some(affix)) => Val::Bool(has(text, affix)),
        _ => Val::Null,
    }
}
