//! The tree that a rule is compiled to.

use serde_json::Value;

/// One node.
#[derive(Debug)]
pub(super) enum Expr {
    /// Itself.
    Literal(Value),
    /// A list with rules among its items.
    List(Vec<Expr>),
    /// `var`.
    Var(Var),
    /// `if` and `?:`.
    If(Vec<Expr>),
    /// `and`.
    And(Vec<Expr>),
    /// `or`.
    Or(Vec<Expr>),
    /// An operator that wants all its operands first.
    Eager(Eager, Operands),
    /// `fractional` of a list that is written out.
    Split(Box<Split>),
    /// `map`, `filter`, `all`, `some` and `none`.
    Iterate(Box<Iterate>),
    /// `reduce`.
    Reduce(Box<Reduce>),
    /// What can only fail, with why.
    Fail(String),
}

/// What `var` reads.
#[derive(Debug)]
pub(super) enum Var {
    /// A path that is written out, and what holds if nothing is there.
    Named {
        path: Vec<String>,
        default: Option<Box<Expr>>,
        /// Whether it is looked up around an iteration first. Paths that are empty or begin with a dot are not.
        around: bool,
    },
    /// The data itself, if it is no object and no list.
    Scalar,
    /// Whatever the operand comes to.
    Computed(Box<Expr>),
}

/// Operands of an operator.
#[derive(Debug)]
pub(super) enum Operands {
    /// A list that is written out.
    Listed(Vec<Expr>),
    /// A single operand, which may come to a list.
    Single(Box<Expr>),
}

/// Operators that want all their operands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eager {
    Equal,
    NotEqual,
    Same,
    NotSame,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Not,
    Truth,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Max,
    Min,
    Cat,
    Substr,
    In,
    Merge,
    Missing,
    MissingSome,
    Log,
    Fractional,
    SemVer,
    StartsWith,
    EndsWith,
}

/// `fractional` with its parts written out: the usual form.
#[derive(Debug)]
pub(super) struct Split {
    /// What is hashed; without it, the flag's key and the targeting key.
    pub(super) by: Option<Expr>,
    pub(super) parts: Vec<Part>,
    /// The sum of weights and each of them, if none has to be computed and none is wrong, for `v2` and `v3`.
    pub(super) plan: Option<(i64, Vec<i64>)>,
}

/// A part of a split.
#[derive(Debug)]
pub(super) struct Part {
    /// The variant, the weight, and what stands behind them for nothing.
    pub(super) written: Vec<Expr>,
}

/// An operation on each item of a list.
#[derive(Debug)]
pub(super) struct Iterate {
    pub(super) each: Each,
    /// `None` if it is neither a list nor a rule.
    pub(super) subject: Option<Expr>,
    pub(super) logic: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Each {
    Map,
    Filter,
    All,
    Some,
    None,
}

#[derive(Debug)]
pub(super) struct Reduce {
    pub(super) subject: Option<Expr>,
    pub(super) logic: Expr,
    pub(super) first: Expr,
}
