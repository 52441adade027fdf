//! Positions, exposure and the limits on it.
//!
//! The desk counts the worst case: every open order on one side of a contract may fill while none on the other
//! side does. An order that the broker has not confirmed is open, because it may have filled.

use super::order::{Contract, Order, Side, Status, Terms};
use super::price::Price;

/// Shares of the underlying that one contract stands for.
const MULTIPLIER: i64 = 100;

/// What an account holds and has open in one contract, in contracts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub contract: Contract,
    pub held: Holding,
}

/// The three counters of a position, and equally a change to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Bought less sold.
    pub net: i64,
    pub open_buy: i64,
    pub open_sell: i64,
}

/// How much an account may risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub contracts_max: i64,
    pub notional_max: Price,
}

/// How much an account risks in the worst case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    pub contracts: i64,
    pub notional: Price,
}

/// A limit that an order would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    Contracts { limit: i64, would_be: i64 },
    Notional { limit: Price, would_be: Price },
}

impl Holding {
    /// What an order in this state contributes to its contract's position.
    fn of(terms: &Terms, status: Status) -> Self {
        let (quantity, buys) = (terms.quantity, terms.side == Side::Buy);
        match status {
            Status::Pending | Status::Unconfirmed | Status::Working if buys => Self {
                open_buy: quantity,
                ..Self::default()
            },
            Status::Pending | Status::Unconfirmed | Status::Working => Self {
                open_sell: quantity,
                ..Self::default()
            },
            Status::Filled => Self {
                net: if buys { quantity } else { -quantity },
                ..Self::default()
            },
            Status::Rejected | Status::Cancelled => Self::default(),
        }
    }

    /// What changes when an order enters the book in its present state.
    pub fn opened(order: &Order) -> Self {
        Self::of(&order.terms, order.status)
    }

    /// What changes when an order goes from one state to another.
    pub fn moved(terms: &Terms, from: Status, to: Status) -> Self {
        let (before, after) = (Self::of(terms, from), Self::of(terms, to));
        Self {
            net: after.net - before.net,
            open_buy: after.open_buy - before.open_buy,
            open_sell: after.open_sell - before.open_sell,
        }
    }

    fn plus(self, change: Self) -> Self {
        Self {
            net: self.net + change.net,
            open_buy: self.open_buy + change.open_buy,
            open_sell: self.open_sell + change.open_sell,
        }
    }

    fn worst_case(self) -> i64 {
        (self.net + self.open_buy)
            .abs()
            .max((self.net - self.open_sell).abs())
    }
}

/// The exposure of an account's positions. Sums saturate, and a saturated sum is over every limit.
pub fn exposure(positions: &[Position]) -> Exposure {
    let mut total = Exposure::default();
    for Position { contract, held } in positions {
        let contracts = held.worst_case();
        let notional = contract
            .strike
            .ticks()
            .saturating_mul(MULTIPLIER)
            .saturating_mul(contracts);
        total.contracts = total.contracts.saturating_add(contracts);
        total.notional = Price::from_ticks(total.notional.ticks().saturating_add(notional));
    }
    total
}

/// Whether an order keeps its account within its limits.
///
/// An order that does not raise the exposure is let through even above a limit: a limit that forbids the way
/// back under it would be a trap.
///
/// # Errors
/// The first limit that the order would break.
pub fn check(limits: Limits, positions: &[Position], order: &Order) -> Result<(), Breach> {
    let before = exposure(positions);
    let mut after = positions.to_vec();
    let contract = &order.terms.contract;
    match after.iter_mut().find(|position| position.contract == *contract) {
        Some(position) => position.held = position.held.plus(Holding::opened(order)),
        None => after.push(Position {
            contract: contract.clone(),
            held: Holding::opened(order),
        }),
    }
    let after = exposure(&after);
    if after.contracts > limits.contracts_max && after.contracts > before.contracts {
        return Err(Breach::Contracts {
            limit: limits.contracts_max,
            would_be: after.contracts,
        });
    }
    if after.notional > limits.notional_max && after.notional > before.notional {
        return Err(Breach::Notional {
            limit: limits.notional_max,
            would_be: after.notional,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::order::Right;
    use super::*;

    const LIMITS: Limits = Limits {
        contracts_max: 10,
        notional_max: Price::from_units(100_000),
    };

    fn order(side: Side, quantity: i64, strike: &str) -> Order {
        let contract = Contract {
            underlying: "ACME".into(),
            expiry: "2099-12-18".parse().unwrap(),
            strike: strike.parse().unwrap(),
            right: Right::Call,
        };
        let limit_price = Price::from_units(1);
        Order {
            id: "o".into(),
            terms: Terms {
                account: "a".into(),
                contract,
                side,
                quantity,
                limit_price,
            },
            status: Status::Pending,
            idempotency_key: None,
        }
    }

    fn holding(net: i64, open_buy: i64, open_sell: i64) -> Vec<Position> {
        let contract = order(Side::Buy, 1, "50").terms.contract;
        vec![Position {
            contract,
            held: Holding {
                net,
                open_buy,
                open_sell,
            },
        }]
    }

    #[test]
    fn open_orders_count_on_their_worse_side() {
        assert_eq!(exposure(&holding(3, 4, 0)).contracts, 7);
        assert_eq!(exposure(&holding(3, 4, 12)).contracts, 9);
        assert_eq!(exposure(&holding(-2, 1, 0)).contracts, 2);
        assert_eq!(exposure(&holding(2, 0, 0)).notional, Price::from_units(10_000));
    }

    #[test]
    fn each_limit_is_kept_at_its_edge() {
        assert_eq!(
            check(LIMITS, &holding(4, 0, 0), &order(Side::Buy, 6, "50")),
            Ok(())
        );
        assert_eq!(
            check(LIMITS, &holding(4, 0, 0), &order(Side::Buy, 7, "50")),
            Err(Breach::Contracts {
                limit: 10,
                would_be: 11
            })
        );
        assert_eq!(check(LIMITS, &[], &order(Side::Sell, 10, "100")), Ok(()));
        assert_eq!(
            check(LIMITS, &[], &order(Side::Sell, 10, "100.01")),
            Err(Breach::Notional {
                limit: LIMITS.notional_max,
                would_be: Price::from_units(100_010)
            })
        );
    }

    #[test]
    fn the_way_back_under_a_limit_is_open() {
        assert_eq!(
            check(LIMITS, &holding(15, 0, 0), &order(Side::Sell, 15, "50")),
            Ok(())
        );
        assert!(check(LIMITS, &holding(15, 0, 0), &order(Side::Sell, 31, "50")).is_err());
    }

    #[test]
    fn an_absurd_order_saturates_instead_of_wrapping() {
        let huge = order(Side::Buy, i64::MAX / 2, "999999999");
        assert!(
            check(
                Limits {
                    contracts_max: i64::MAX,
                    ..LIMITS
                },
                &[],
                &huge
            )
            .is_err()
        );
    }

    #[test]
    fn a_fill_moves_quantity_from_open_to_held() {
        let sell = order(Side::Sell, 5, "50").terms;
        let filled = Holding::moved(&sell, Status::Unconfirmed, Status::Filled);
        assert_eq!(
            filled,
            Holding {
                net: -5,
                open_buy: 0,
                open_sell: -5
            }
        );
        let waiting = Holding::moved(&sell, Status::Pending, Status::Unconfirmed);
        assert_eq!(waiting, Holding::default());
    }
}
