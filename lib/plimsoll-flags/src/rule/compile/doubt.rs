//! Operands that an operator takes, and makes nothing of: found when the rule is compiled, so that nobody has to
//! wonder why everybody gets the default variant.

use serde_json::Value;

use crate::problem::{Place, Problems};
use crate::rule::expr::Eager;
use crate::rule::sem_ver;

pub(super) fn operands(eager: Eager, operator: &str, operand: &Value, place: &Place, doubts: &mut Problems) {
    match (eager, operand) {
        (Eager::Log, _) => doubts.add(place, "flagd knows no log", "write what is logged without it"),
        (Eager::Fractional, Value::Array(operands)) => fractional(operands, place, doubts),
        (Eager::Fractional, Value::Object(_)) => {}
        (Eager::Fractional, _) => doubts.add(place, "fractional takes a list", PARTS),
        (Eager::SemVer, operand) => sem_ver(operand, place, doubts),
        (Eager::StartsWith | Eager::EndsWith, operand) => affix(operator, operand, place, doubts),
        (
            Eager::Equal
            | Eager::NotEqual
            | Eager::Same
            | Eager::NotSame
            | Eager::Less
            | Eager::LessOrEqual
            | Eager::Greater
            | Eager::GreaterOrEqual,
            Value::Array(operands),
        ) if operands.len() < 2 => {
            let what = format!("{operator} compares two operands, and this never holds");
            doubts.add(place, what, "write both");
        }
        _ => {}
    }
}

const PARTS: &str = "write parts such as [\"on\", 10], [\"off\", 90]";

fn fractional(operands: &[Value], place: &Place, doubts: &mut Problems) {
    let parts = match operands.split_first() {
        Some((Value::Array(_), _)) => operands,
        Some((Value::Object(_) | Value::String(_), parts)) => parts,
        // Numbers and the like are keys in `v3`, but nobody is served by everybody having the same key.
        Some((_, parts)) => {
            doubts.add(&place.index(0), "everybody has this same key", "hash a variable");
            parts
        }
        None => &[],
    };
    let before = operands.len() - parts.len();
    if parts.is_empty() {
        doubts.add(place, "a split without parts gives nothing", PARTS);
    }
    let mut total = Some(0.0);
    for (at, part) in parts.iter().enumerate() {
        let place = place.index(at + before);
        let weight = self::part(part, &place, doubts);
        total = total
            .zip(weight)
            .map(|(total, weight): (f64, f64)| total + weight);
    }
    match total {
        Some(0.0) if !parts.is_empty() => doubts.add(place, "all weights are 0, which gives nothing", PARTS),
        Some(total) if total > f64::from(i32::MAX) => {
            let what = format!("the weights add up to {total}, which gives nothing");
            doubts.add(place, what, "let them add up to at most 2147483647");
        }
        _ => {}
    }
}

/// The weight of a part, if it is written out.
fn part(part: &Value, place: &Place, doubts: &mut Problems) -> Option<f64> {
    let written = match part {
        Value::Array(written) => written,
        Value::Object(_) => return None,
        _ => {
            doubts.add(
                place,
                "this is no part of a split, which then gives nothing",
                PARTS,
            );
            return None;
        }
    };
    match written.first() {
        None => doubts.add(
            place,
            "a part without a variant, and the split gives nothing",
            PARTS,
        ),
        Some(Value::Array(_)) => doubts.add(&place.index(0), "a list is no variant", PARTS),
        Some(_) => {}
    }
    if written.len() > 2 {
        let what = "a part has a variant and a weight, and most evaluators refuse more";
        doubts.add(place, what, PARTS);
    }
    match written.get(1) {
        None => Some(1.0),
        Some(Value::Object(_)) => None,
        Some(Value::Number(number)) => {
            let weight = number.as_f64()?;
            if weight.fract() != 0.0 {
                let what = "a weight that is not whole, and the split gives nothing";
                doubts.add(&place.index(1), what, "multiply all weights until they are whole");
            } else if weight < 0.0 {
                doubts.add(&place.index(1), "a weight below 0 counts as 0", "write 0");
            }
            Some(weight.max(0.0))
        }
        Some(_) => {
            doubts.add(&place.index(1), "this is no weight", "write a whole number");
            None
        }
    }
}

fn sem_ver(operand: &Value, place: &Place, doubts: &mut Problems) {
    let Some([one, operator, other]) = operand.as_array().map(Vec::as_slice) else {
        if !operand.is_object() {
            let instead = "write for instance [{\"var\": \"version\"}, \">=\", \"1.2.0\"]";
            doubts.add(
                place,
                "sem_ver takes a version, an operator and a version",
                instead,
            );
        }
        return;
    };
    for (at, version) in [(0, one), (2, other)] {
        if !version.is_object() && !sem_ver::is_version(&version.into()) {
            let what = format!("{version} is no version, and the comparison gives nothing");
            doubts.add(&place.index(at), what, "write for instance 1.2.0");
        }
    }
    let known = ["=", "!=", "<", "<=", ">", ">=", "^", "~"];
    if !operator.is_object()
        && !operator
            .as_str()
            .is_some_and(|operator| known.contains(&operator))
    {
        let instead = format!("write one of {}", known.join(" "));
        doubts.add(
            &place.index(1),
            format!("{operator} compares no versions"),
            &instead,
        );
    }
}

fn affix(operator: &str, operand: &Value, place: &Place, doubts: &mut Problems) {
    let Some([one, other]) = operand.as_array().map(Vec::as_slice) else {
        if !operand.is_object() {
            doubts.add(
                place,
                format!("{operator} takes two texts"),
                "write a text and what to look for",
            );
        }
        return;
    };
    for (at, text) in [one, other].into_iter().enumerate() {
        if !text.is_object() && !text.is_string() {
            let what = format!("{text} is no text, and {operator} gives nothing");
            doubts.add(&place.index(at), what, "write a text in quotes");
        }
    }
}
