//! Walks the tree.

use core::cell::Cell;

use super::Failure;
use super::expr::{Eager, Expr, Operands};
use super::value::Val;
use super::{arithmetic, compare, lists, sem_ver, text};
use crate::context::Context;
use plimsoll_policy::Bucketing;

/// Steps of one evaluation at most: nodes that are evaluated, and lengths of what is copied, joined and searched in
/// sixteenths. It is some ten milliseconds of work, ten thousand times what a rule takes that people write.
const STEPS_MAX: u32 = 1_000_000;

/// Everything an evaluation reads.
pub(super) struct Env<'a> {
    pub(super) bucketing: Bucketing,
    pub(super) flag_key: &'a str,
    pub(super) context: &'a Context,
    pub(super) now_s: u64,
    steps_left: Cell<u32>,
}

/// What variables are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'a> {
    pub(super) data: &'s Val<'a>,
    /// What is looked in before, from the outside in.
    pub(super) around: Option<&'s Around<'s, 'a>>,
}

/// Data around an iteration.
pub(super) struct Around<'s, 'a> {
    pub(super) data: &'s Val<'a>,
    pub(super) outside: Option<&'s Around<'s, 'a>>,
}

/// What an operator is given.
#[derive(Clone, Copy)]
pub(super) enum Given<'s, 'a> {
    /// A list of operands.
    Many(&'s [Val<'a>]),
    /// A single one that is no list.
    One(&'s Val<'a>),
}

impl<'s, 'a> Given<'s, 'a> {
    /// The operands, for an operator that wants a list.
    pub(super) fn listed(self) -> Result<&'s [Val<'a>], Failure> {
        match self {
            Self::Many(operands) => Ok(operands),
            Self::One(_) => Err(Failure::operand("the operator takes a list of operands")),
        }
    }
}

/// The operand at a place.
pub(super) fn operand<'s, 'a>(operands: &'s [Val<'a>], at: usize) -> Result<&'s Val<'a>, Failure> {
    operands
        .get(at)
        .ok_or(const { Failure::operand("an operand is missing") })
}

impl<'a> Env<'a> {
    pub(super) fn new(bucketing: Bucketing, flag_key: &'a str, context: &'a Context, now_s: u64) -> Self {
        Self {
            bucketing,
            flag_key,
            context,
            now_s,
            steps_left: Cell::new(STEPS_MAX),
        }
    }

    /// Evaluates a whole rule.
    pub(super) fn run(&self, rule: &'a Expr) -> Result<Val<'a>, Failure> {
        let scope = Scope {
            data: &Val::Context,
            around: None,
        };
        self.eval(rule, scope)
    }

    /// Takes steps for work on something of this length.
    pub(super) fn charge(&self, length: usize) -> Result<(), Failure> {
        let steps = u32::try_from(length / 16 + 1).unwrap_or(u32::MAX);
        match self.steps_left.get().checked_sub(steps) {
            Some(left) => {
                self.steps_left.set(left);
                Ok(())
            }
            None => Err(Failure::TooMuch),
        }
    }

    pub(super) fn eval(&self, expr: &'a Expr, scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        self.charge(0)?;
        match expr {
            Expr::Literal(value) => Ok(Val::from(value)),
            Expr::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.eval(item, scope)).collect();
                Ok(Val::items(items?))
            }
            Expr::Var(var) => self.var(var, scope),
            Expr::If(clauses) => self.choose(clauses, scope),
            Expr::And(operands) => self.until(operands, scope, false),
            Expr::Or(operands) => self.until(operands, scope, true),
            Expr::Eager(eager, operands) => self.eager(*eager, operands, scope),
            Expr::Split(split) => self.split(split, scope),
            Expr::Iterate(iterate) => self.iterate(iterate, scope),
            Expr::Reduce(reduce) => self.reduce(reduce, scope),
            Expr::Fail(why) => Err(Failure::Rule(why.clone().into())),
        }
    }

    fn choose(&self, clauses: &'a [Expr], scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        let mut pairs = clauses.chunks_exact(2);
        for pair in &mut pairs {
            if self.eval(&pair[0], scope)?.is_true() {
                return self.eval(&pair[1], scope);
            }
        }
        match pairs.remainder() {
            [last] => self.eval(last, scope),
            _ => Ok(Val::Null),
        }
    }

    /// The first operand whose truth is this, or the last.
    fn until(&self, operands: &'a [Expr], scope: Scope<'_, 'a>, truth: bool) -> Result<Val<'a>, Failure> {
        let mut last = Val::Null;
        for operand in operands {
            last = self.eval(operand, scope)?;
            if last.is_true() == truth {
                break;
            }
        }
        Ok(last)
    }

    fn eager(&self, eager: Eager, operands: &'a Operands, scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        match operands {
            // Up to three need no allocation, and that is nearly all.
            Operands::Listed(exprs) if exprs.len() <= 3 => {
                let mut values = [const { Val::Null }; 3];
                for (value, expr) in values.iter_mut().zip(exprs) {
                    *value = self.eval(expr, scope)?;
                }
                self.apply(eager, Given::Many(&values[..exprs.len()]), scope)
            }
            Operands::Listed(exprs) => {
                let values: Result<Vec<_>, _> = exprs.iter().map(|expr| self.eval(expr, scope)).collect();
                self.apply(eager, Given::Many(&values?), scope)
            }
            Operands::Single(expr) => match self.eval(expr, scope)? {
                Val::Items(items) => self.apply(eager, Given::Many(&items), scope),
                Val::Slice(items) => {
                    self.charge(items.len())?;
                    let items: Vec<_> = items.iter().map(Val::from).collect();
                    self.apply(eager, Given::Many(&items), scope)
                }
                one => self.apply(eager, Given::One(&one), scope),
            },
        }
    }

    fn apply(&self, eager: Eager, given: Given<'_, 'a>, scope: Scope<'_, 'a>) -> Result<Val<'a>, Failure> {
        match eager {
            Eager::Equal
            | Eager::NotEqual
            | Eager::Same
            | Eager::NotSame
            | Eager::Less
            | Eager::LessOrEqual
            | Eager::Greater
            | Eager::GreaterOrEqual => compare::compare(eager, given).map(Val::Bool),
            Eager::Not => Ok(Val::Bool(!truth(given))),
            Eager::Truth => Ok(Val::Bool(truth(given))),
            Eager::Add
            | Eager::Subtract
            | Eager::Multiply
            | Eager::Divide
            | Eager::Remainder
            | Eager::Max
            | Eager::Min => arithmetic::calculate(eager, given),
            Eager::Cat => text::cat(self, given),
            Eager::Substr => text::substr(self, given),
            Eager::In => lists::is_in(self, given).map(Val::Bool),
            Eager::Merge => lists::merge(self, given),
            Eager::Missing => self.missing(given, scope.data),
            Eager::MissingSome => self.missing_some(given, scope.data),
            Eager::Log => Ok(match given {
                Given::One(value) => value.clone(),
                Given::Many(values) => values.first().cloned().unwrap_or(Val::Null),
            }),
            Eager::Fractional => Ok(match given {
                Given::Many(operands) => self.fractional(operands, scope.data)?,
                Given::One(_) => Val::Null,
            }),
            Eager::SemVer => Ok(sem_ver::sem_ver(given)),
            Eager::StartsWith => Ok(text::affix(given, |text, affix| text.starts_with(affix))),
            Eager::EndsWith => Ok(text::affix(given, |text, affix| text.ends_with(affix))),
        }
    }
}

fn truth(given: Given<'_, '_>) -> bool {
    match given {
        Given::One(value) => value.is_true(),
        Given::Many(values) => values.first().is_some_and(Val::is_true),
    }
}
