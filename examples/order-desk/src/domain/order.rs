//! An order and its life.
//!
//! ```text
//! pending ──> working ──> filled | rejected | cancelled
//!    │  └───> filled | rejected | cancelled
//!    └──────> unconfirmed ──> working | filled | rejected | cancelled
//! ```
//!
//! `pending` is written before the broker is asked. `unconfirmed` means that it was asked and that its answer
//! did not arrive: the order may be at the market, and the desk does not pretend to know. Both stay open, count
//! as exposure, and are asked about again under the same id, which the broker uses to act once. `filled`,
//! `rejected` and `cancelled` are final.

use super::date::Date;
use super::price::Price;
use super::words;

words! {
    /// Which side of the contract the account takes.
    Side { Buy = "buy", Sell = "sell" }
}
words! {
    /// What the option gives a right to do.
    Right { Call = "call", Put = "put" }
}
words! {
    /// Where an order is in its life.
    Status {
        /// Written down; the broker has not answered yet.
        Pending = "pending",
        /// The broker was asked and its answer is not known.
        Unconfirmed = "unconfirmed",
        /// Resting at the market.
        Working = "working",
        Filled = "filled",
        Rejected = "rejected",
        Cancelled = "cancelled",
    }
}

/// What the desk learnt from asking the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    Working,
    Filled,
    Rejected,
    Cancelled,
    /// No answer, or none that says what became of the order.
    Unknown,
}

impl Status {
    /// The state after a report.
    ///
    /// Two requests may ask about the same order at once, so reports come twice and late. A final state stays,
    /// and an order known to be working does not become less known.
    #[must_use]
    pub fn after(self, report: Report) -> Self {
        match (self, report) {
            (Self::Filled | Self::Rejected | Self::Cancelled, _) | (Self::Working, Report::Unknown) => self,
            (Self::Pending | Self::Unconfirmed, Report::Unknown) => Self::Unconfirmed,
            (_, Report::Working) => Self::Working,
            (_, Report::Filled) => Self::Filled,
            (_, Report::Rejected) => Self::Rejected,
            (_, Report::Cancelled) => Self::Cancelled,
        }
    }

    /// Whether the order may still fill.
    pub fn is_open(self) -> bool {
        self.is_unsettled() || self == Self::Working
    }

    /// Whether the broker still has to be asked what became of the order.
    pub fn is_unsettled(self) -> bool {
        matches!(self, Self::Pending | Self::Unconfirmed)
    }
}

/// An option series: what is traded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    pub underlying: String,
    pub expiry: Date,
    pub strike: Price,
    pub right: Right,
}

/// What a client asks for. Two requests are the same request when their terms are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub account: String,
    pub contract: Contract,
    pub side: Side,
    pub quantity: i64,
    pub limit_price: Price,
}

/// An order as the desk keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: String,
    pub terms: Terms,
    pub status: Status,
    /// The client's name for this request, unique within the account.
    pub idempotency_key: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_never_becomes_known_by_itself() {
        assert_eq!(Status::Pending.after(Report::Unknown), Status::Unconfirmed);
        assert_eq!(Status::Unconfirmed.after(Report::Unknown), Status::Unconfirmed);
        assert_eq!(Status::Unconfirmed.after(Report::Filled), Status::Filled);
    }

    #[test]
    fn late_reports_do_not_undo_what_is_known() {
        assert_eq!(Status::Working.after(Report::Unknown), Status::Working);
        for status in [Status::Filled, Status::Rejected, Status::Cancelled] {
            for report in [
                Report::Working,
                Report::Filled,
                Report::Rejected,
                Report::Cancelled,
                Report::Unknown,
            ] {
                assert_eq!(status.after(report), status);
            }
        }
    }
}
