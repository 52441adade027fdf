//! Targeting rules: JsonLogic with flagd's four operators, compiled to a tree and evaluated over a context.
//!
//! A rule that is well formed gives the same in all official evaluators, but for bucketing. Where they part, and it is
//! mostly over operands of odd kinds, this crate does what flagd itself does, which is what its Go library for
//! JsonLogic does:
//!
//! - An operand that its operator cannot take fails the evaluation with `PARSE_ERROR`: a sum with null or a boolean in
//!   it, `in` with a needle that is no string in a string, `max` of nothing that is a number. JavaScript would coerce.
//! - `cat` of several parts trims white space off both ends of the whole. Booleans and lists cannot be joined.
//! - `==` takes null to equal nothing but null, and lists and objects to equal nothing.
//! - `reduce` keeps the accumulator of the kind that it began with, and passes over nulls.
//! - In `filter`, `some` and `none` a variable is first looked up in the data around the iteration, and only if it is
//!   not there in the item; in `all` and `some` the test has to be an operation, and not a bare variable that is there.
//! - A path goes on over empty parts, and a part that is no number is index 0 of a list.
//! - An interval in the list of `in` is a range: `{"in": [5, [[1, 3], [4, 6]]]}` holds.
//! - The custom operators never fail: wrong operands give null, and so the default variant.
//!
//! Three things are not copied. Data is never taken for a rule: flagd evaluates an object with one member that a
//! variable gave in the branch of an `if`. A reference inside an evaluator is always resolved, where flagd does so in
//! some runs. And names of variants may have quotes and angle brackets in them. `log`, which flagd lacks and which
//! JsonLogic has, gives its operand; the operators that only flagd has (`abs`, `set`, `contains_all` and the like, in no
//! schema) are unknown here.
//!
//! Work is bounded twice: a rule has at most so many nodes and levels when it is compiled, and an evaluation takes at
//! most so many steps, in which what loops and joins is counted by length.

mod arithmetic;
mod compare;
mod compile;
mod eval;
mod expr;
mod fractional;
mod iterate;
mod lists;
mod lookup;
mod sem_ver;
mod text;
mod value;

use core::fmt;
use std::borrow::Cow;

use serde_json::Value;

use crate::context::Context;
use crate::evaluation::ErrorCode;
use crate::problem::Place;
use plimsoll_policy::Bucketing;

pub(crate) use compile::{Evaluators, Rules, SET_NODES_MAX};

use eval::Env;
use expr::Expr;
use value::Val;

/// A rule that is compiled.
#[derive(Debug)]
pub(crate) struct Rule(Expr);

/// What a rule chose.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// Null: the default variant.
    Nothing,
    /// The variant of that name.
    Variant(Cow<'a, str>),
    /// A list or an object.
    NoName,
}

/// Why a rule could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It does not hold together.
    Rule(Cow<'static, str>),
    /// It takes more steps than any rule may.
    TooMuch,
}

impl Failure {
    const fn operand(why: &'static str) -> Self {
        Self::Rule(Cow::Borrowed(why))
    }

    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Rule(_) => ErrorCode::ParseError,
            Self::TooMuch => ErrorCode::General,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(why) => f.write_str(why),
            Self::TooMuch => f.write_str("targeting takes more steps than a rule may"),
        }
    }
}

impl Rule {
    /// The rule of a flag, or none if its targeting is the empty object.
    pub(crate) fn compile(targeting: &Value, place: &Place, rules: &mut Rules<'_>) -> Option<Self> {
        rules.targeting(targeting, place).map(Self)
    }

    /// What the rule chooses.
    ///
    /// # Errors
    /// It does not hold together for this context, or takes too many steps.
    pub(crate) fn outcome<'a>(
        &'a self,
        bucketing: Bucketing,
        flag_key: &'a str,
        context: &'a Context,
        now_s: u64,
    ) -> Result<Outcome<'a>, Failure> {
        let env = Env::new(bucketing, flag_key, context, now_s);
        Ok(match env.run(&self.0)? {
            Val::Null => Outcome::Nothing,
            Val::Bool(true) => Outcome::Variant(Cow::Borrowed("true")),
            Val::Bool(false) => Outcome::Variant(Cow::Borrowed("false")),
            Val::Str(name) => Outcome::Variant(Cow::Borrowed(name)),
            Val::Text(name) => Outcome::Variant(Cow::Owned(name.to_string())),
            // JSON has no word for them, so flagd fails when it writes the result.
            Val::Num(number) if !number.is_finite() => {
                return Err(Failure::operand("targeting chose a number that is not finite"));
            }
            Val::Num(number) => Outcome::Variant(Cow::Owned(value::json_number(number))),
            Val::Items(items) if items.iter().any(Val::is_unwritable) => {
                return Err(Failure::operand("targeting chose a number that is not finite"));
            }
            _ => Outcome::NoName,
        })
    }
}
