//! `+`, `-`, `*`, `/`, `%`, `max` and `min`.

use super::Failure;
use super::eval::{Given, operand};
use super::expr::Eager;
use super::value::Val;

pub(super) fn calculate<'a>(operator: Eager, given: Given<'_, 'a>) -> Result<Val<'a>, Failure> {
    if let (Eager::Add, Given::One(value)) = (operator, given) {
        return value.to_number().map(Val::Num);
    }
    let operands = given.listed()?;
    if operator == Eager::Remainder {
        let (one, other) = (operand(operands, 0)?, operand(operands, 1)?);
        return Ok(Val::Num(one.to_number()? % other.to_number()?));
    }
    let Some((first, others)) = operands.split_first() else {
        return Ok(match operator {
            Eager::Max | Eager::Min => Val::Null,
            Eager::Multiply => Val::Num(1.0),
            _ => Val::Num(0.0),
        });
    };
    let mut number = first.to_number()?;
    if operator == Eager::Subtract && others.is_empty() {
        return Ok(Val::Num(-number));
    }
    if operator == Eager::Add && !others.is_empty() {
        // A sum begins with 0, which shows in the sign of zeros.
        number += 0.0;
    }
    for other in others {
        let other = other.to_number()?;
        number = match operator {
            Eager::Add => number + other,
            Eager::Subtract => number - other,
            Eager::Multiply => number * other,
            Eager::Divide => number / other,
            Eager::Max if other > number => other,
            Eager::Min if other < number => other,
            _ => number,
        };
    }
    Ok(Val::Num(number))
}
