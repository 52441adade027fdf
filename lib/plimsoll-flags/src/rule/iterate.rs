//! `map`, `filter`, `all`, `some`, `none` and `reduce`.

use std::rc::Rc;

use super::Failure;
use super::eval::{Around, Env, Scope};
use super::expr::{Each, Expr, Iterate, Reduce, Var};
use super::value::{Fold, Val};

const NO_LIST: Failure = Failure::operand("an iteration goes over a list");
const NO_RULE: Failure = Failure::operand("an iteration takes a rule to apply to each item");

impl<'a> Env<'a> {
    pub(super) fn iterate(&self, iterate: &'a Iterate, scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        let subject = match &iterate.subject {
            Some(subject) => self.eval(subject, scope)?,
            None => Val::Null,
        };
        let each = iterate.each;
        match each {
            Each::Map | Each::Filter if subject.is_null() => return Ok(Val::items(Vec::new())),
            Each::All | Each::Some if !subject.is_true() => return Ok(Val::Bool(false)),
            Each::None if !subject.is_true() => return Ok(Val::Bool(true)),
            _ => {}
        }
        let length = subject.len().ok_or(NO_LIST)?;
        let around = Around {
            data: scope.data,
            outside: scope.around,
        };
        let mut kept = Vec::new();
        for at in 0..length {
            let item = subject.item(at).unwrap_or(Val::Null);
            match each {
                Each::Map => kept.push(self.apply_to(&iterate.logic, &item, scope.around)?),
                Each::Filter => {
                    if self.apply_to(&iterate.logic, &item, Some(&around))?.is_true() {
                        kept.push(item);
                    }
                }
                Each::All => {
                    let inner = Around {
                        data: &item,
                        outside: scope.around,
                    };
                    if !self.test(iterate, &item, Some(&inner))? {
                        return Ok(Val::Bool(false));
                    }
                }
                Each::Some | Each::None => {
                    let inner = Around {
                        data: &item,
                        outside: Some(&around),
                    };
                    let looked_in = if each == Each::Some { &inner } else { &around };
                    if self.test(iterate, &item, Some(looked_in))? {
                        return Ok(Val::Bool(each == Each::Some));
                    }
                }
            }
        }
        Ok(match each {
            Each::Map | Each::Filter => Val::items(kept),
            Each::All | Each::None => Val::Bool(true),
            Each::Some => Val::Bool(false),
        })
    }

    fn apply_to(
        &self,
        logic: &'a Expr,
        item: &Val<'a>,
        around: Option<&Around<'_, 'a>>,
    ) -> Result<Val<'a>, Failure> {
        self.eval(logic, Scope { data: item, around })
    }

    /// Whether an item passes. The test has to be an operation still when variables that are known have been put in.
    fn test(
        &self,
        iterate: &'a Iterate,
        item: &Val<'a>,
        around: Option<&Around<'_, 'a>>,
    ) -> Result<bool, Failure> {
        let passed = self.apply_to(&iterate.logic, item, around)?;
        match &iterate.logic {
            Expr::Var(Var::Named { around: false, .. }) => {}
            Expr::Var(_) => {
                // `none` alone puts in only what is around, so what the item itself has is looked up and fine.
                let put_in = iterate.each != Each::None || self.known_around(&iterate.logic, around)?;
                if put_in && !passed.is_null() && (passed.is_scalar() || passed.len().is_some()) {
                    return Err(NO_RULE);
                }
            }
            _ => {}
        }
        Ok(passed.is_true())
    }

    fn known_around(&self, logic: &'a Expr, around: Option<&Around<'_, 'a>>) -> Result<bool, Failure> {
        let scope = Scope {
            data: &Val::Null,
            around,
        };
        Ok(!self.eval(logic, scope)?.is_null())
    }

    pub(super) fn reduce(&self, reduce: &'a Reduce, scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        let mut accumulator = self.eval(&reduce.first, scope)?;
        let kind = match accumulator {
            Val::Bool(_) => "bool",
            Val::Num(_) => "number",
            Val::Str(_) | Val::Text(_) => "string",
            _ => {
                return Err(Failure::operand(
                    "reduce begins with a boolean, a number or a text",
                ));
            }
        };
        let subject = match &reduce.subject {
            Some(subject) => self.eval(subject, scope)?,
            None => Val::Null,
        };
        if subject.is_null() {
            return Ok(Val::Num(0.0));
        }
        for at in 0..subject.len().ok_or(NO_LIST)? {
            let current = subject.item(at).unwrap_or(Val::Null);
            if current.is_null() {
                continue;
            }
            let fold = Val::Fold(Rc::new(Fold {
                current,
                accumulator,
                kind,
            }));
            let next = self.apply_to(&reduce.logic, &fold, scope.around)?;
            accumulator = match kind {
                "bool" => Val::Bool(next.is_true()),
                "number" => Val::Num(next.to_number()?),
                _ if next.as_str().is_some() => next,
                _ => {
                    let mut text = String::new();
                    next.write_text(&mut text)?;
                    Val::text(text)
                }
            };
        }
        Ok(accumulator)
    }
}
