//! `var`, `missing` and `missing_some`.

use super::Failure;
use super::eval::{Around, Env, Given, Scope, operand};
use super::expr::Var;
use super::value::{Val, parse_number, plain_number, signed, whole};

/// The name under which the context holds what flagd adds to it.
pub(super) const FLAGD: &str = "$flagd";

impl<'a> Env<'a> {
    pub(super) fn var(&self, var: &'a Var, scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        let around = match var {
            Var::Named { around, .. } => *around,
            Var::Scalar | Var::Computed(_) => true,
        };
        if around
            && let Some(outer) = scope.around
            && let Some(found) = self.var_around(var, outer)?
        {
            return Ok(found);
        }
        self.var_in(var, scope.data)
    }

    /// What the variable is around the iteration, the outermost first.
    fn var_around(&self, var: &'a Var, around: &Around<'_, 'a>) -> Result<Option<Val<'a>>, Failure> {
        if let Some(outside) = around.outside
            && let Some(found) = self.var_around(var, outside)?
        {
            return Ok(Some(found));
        }
        let found = self.var_in(var, around.data)?;
        Ok((!found.is_null()).then_some(found))
    }

    fn var_in(&self, var: &'a Var, data: &Val<'a>) -> Result<Val<'a>, Failure> {
        match var {
            Var::Named { path, default, .. } => {
                let default = match default {
                    Some(default) => self.eval(default, Scope { data, around: None })?,
                    None => Val::Null,
                };
                Ok(self
                    .follow(data, path.iter().map(String::as_str))
                    .unwrap_or(default))
            }
            Var::Scalar if data.is_scalar() => Ok(data.clone()),
            Var::Scalar => Ok(Val::Null),
            Var::Computed(operand) => {
                let operand = self.eval(operand, Scope { data, around: None })?;
                self.look_up(&operand, data)
            }
        }
    }

    /// What an operand that is a value names.
    fn look_up(&self, operand: &Val<'a>, data: &Val<'a>) -> Result<Val<'a>, Failure> {
        const NO_PATH: Failure = Failure::operand("a variable is named by a text or a number");
        let default = match operand.len() {
            Some(0) => return Ok(data.clone()),
            Some(2) => operand.item(1).unwrap_or(Val::Null),
            _ => Val::Null,
        };
        let first = operand.item(0);
        let path = first.as_ref().unwrap_or(operand);
        match path {
            Val::Null if first.is_none() => {
                return Ok(if data.is_scalar() { data.clone() } else { Val::Null });
            }
            Val::Num(number) if first.is_none() => {
                let path = plain_number(*number);
                return Ok(self.follow(data, parts(&path)).unwrap_or(default));
            }
            _ => {}
        }
        let path = path.as_str().ok_or(NO_PATH)?;
        Ok(self.follow(data, parts(path)).unwrap_or(default))
    }

    /// What lies at the end of a path; `None` if nothing does, or null.
    fn follow<'p>(&self, data: &Val<'a>, path: impl Iterator<Item = &'p str>) -> Option<Val<'a>> {
        let mut at: Option<Val<'a>> = None;
        for part in path {
            let from = at.as_ref().unwrap_or(data);
            let next = match from.len() {
                Some(_) => {
                    let index = whole(parse_number(part).unwrap_or(0.0));
                    from.item(usize::try_from(index).ok()?)?
                }
                None => self.member(from, part)?,
            };
            if next.is_null() {
                return None;
            }
            at = Some(next);
        }
        let found = at.unwrap_or_else(|| data.clone());
        (!found.is_null()).then_some(found)
    }

    /// A member of an object.
    pub(super) fn member(&self, of: &Val<'a>, name: &str) -> Option<Val<'a>> {
        match (of, name) {
            (Val::Map(members), _) => members.get(name).map(Val::from),
            (Val::Context, FLAGD) => Some(Val::Flagd),
            (Val::Context, _) => self.context.attributes().get(name).map(Val::from),
            (Val::Flagd, "flagKey") => Some(Val::Str(self.flag_key)),
            (Val::Flagd, "timestamp") => Some(Val::Num(self.now_s as f64)),
            (Val::Fold(fold), "current") => Some(fold.current.clone()),
            (Val::Fold(fold), "accumulator") => Some(fold.accumulator.clone()),
            (Val::Fold(fold), "valueType") => Some(Val::Str(fold.kind)),
            _ => None,
        }
    }

    /// Those of the named variables that are not there.
    pub(super) fn missing(&self, given: Given<'_, 'a>, data: &Val<'a>) -> Result<Val<'a>, Failure> {
        let names = match given {
            Given::Many(names) => names,
            Given::One(name) if name.as_str().is_some() => core::slice::from_ref(name),
            Given::One(_) => return Err(Failure::operand("missing takes names of variables")),
        };
        Ok(Val::items(self.absent(names.iter().cloned(), data)?))
    }

    /// Those of the named variables that are not there, unless enough of them are.
    pub(super) fn missing_some(&self, given: Given<'_, 'a>, data: &Val<'a>) -> Result<Val<'a>, Failure> {
        let operands = given.listed()?;
        let needed = whole(operand(operands, 0)?.to_number()?);
        let names = operand(operands, 1)?;
        let length = names
            .len()
            .ok_or(const { Failure::operand("missing_some takes a list of names") })?;
        let absent = self.absent((0..length).filter_map(|at| names.item(at)), data)?;
        let found = signed(length - absent.len());
        Ok(Val::items(if needed > found { absent } else { Vec::new() }))
    }

    fn absent(&self, names: impl Iterator<Item = Val<'a>>, data: &Val<'a>) -> Result<Vec<Val<'a>>, Failure> {
        let mut absent = Vec::new();
        for name in names {
            self.charge(0)?;
            if self.look_up(&name, data)?.is_null() {
                absent.push(name);
            }
        }
        Ok(absent)
    }
}

/// The parts of a path. Empty ones are passed over.
pub(super) fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|part| !part.is_empty())
}
