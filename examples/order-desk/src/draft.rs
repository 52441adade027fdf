//! From what a client wrote to terms that the desk can stand behind.
//!
//! All faults of a body are found in one pass: a client that has to send a form five times to learn five
//! mistakes has been told four lies of omission.

use serde_json::{Map, Value};

use crate::domain::date::Date;
use crate::domain::order::{Contract, Right, Side, Terms};
use crate::domain::price::Price;

/// Larger orders are typing mistakes; it also keeps every sum of quantities far from overflow.
const QUANTITY_MAX: i64 = 10_000;

const FIELDS: [&str; 8] = [
    "account",
    "underlying",
    "expiry",
    "strike",
    "right",
    "side",
    "quantity",
    "limit_price",
];

/// One thing wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) detail: String,
}

/// Reads the terms of an order from a JSON object.
///
/// # Errors
/// Every fault found; the list is not empty.
pub(crate) fn read(body: &Map<String, Value>, today: Date) -> Result<Terms, Vec<Fault>> {
    let mut form = Form {
        body,
        faults: Vec::new(),
    };
    for field in body.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
        form.fault(field, "unknown field");
    }
    let account = form.text(
        "account",
        |text| is_account(text).then(|| text.to_owned()),
        ACCOUNT,
    );
    let underlying = form.text(
        "underlying",
        |text| is_symbol(text).then(|| text.to_owned()),
        SYMBOL,
    );
    let expiry = form.text(
        "expiry",
        |text| text.parse().ok().filter(|day| *day >= today),
        "a day not in the past, written YYYY-MM-DD",
    );
    let strike = form.text("strike", positive_price, PRICE);
    let right = form.text("right", Right::from_word, "call or put");
    let side = form.text("side", Side::from_word, "buy or sell");
    let quantity = form.quantity();
    let limit_price = form.text("limit_price", positive_price, PRICE);
    let terms = (|| {
        let contract = Contract {
            underlying: underlying?,
            expiry: expiry?,
            strike: strike?,
            right: right?,
        };
        Some(Terms {
            account: account?,
            contract,
            side: side?,
            quantity: quantity?,
            limit_price: limit_price?,
        })
    })();
    match terms {
        Some(terms) if form.faults.is_empty() => Ok(terms),
        _ => Err(form.faults),
    }
}

const ACCOUNT: &str = "1 to 32 of a-z, 0-9 and -";
const SYMBOL: &str = "1 to 12 of A-Z, 0-9 and .";
const PRICE: &str = "a decimal string above 0 with at most 9 digits before and 4 after the point";

fn is_account(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether a text can name an underlying.
pub(crate) fn is_symbol(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'.';
    (1..=12).contains(&text.len()) && text.bytes().all(allowed)
}

fn positive_price(text: &str) -> Option<Price> {
    text.parse().ok().filter(|price: &Price| price.ticks() > 0)
}

struct Form<'a> {
    body: &'a Map<String, Value>,
    faults: Vec<Fault>,
}

impl Form<'_> {
    fn fault(&mut self, field: &str, detail: &str) {
        self.faults.push(Fault {
            field: field.to_owned(),
            detail: detail.to_owned(),
        });
    }

    fn text<T>(&mut self, field: &str, read: impl Fn(&str) -> Option<T>, wanted: &str) -> Option<T> {
        let value = self.body.get(field).and_then(Value::as_str).and_then(read);
        if value.is_none() {
            self.fault(field, wanted);
        }
        value
    }

    fn quantity(&mut self) -> Option<i64> {
        let within = |quantity: &i64| (1..=QUANTITY_MAX).contains(quantity);
        let quantity = self.body.get("quantity").and_then(Value::as_i64).filter(within);
        if quantity.is_none() {
            self.fault("quantity", &format!("a whole number from 1 to {QUANTITY_MAX}"));
        }
        quantity
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_json(body: Value) -> Result<Terms, Vec<Fault>> {
        let Value::Object(body) = body else {
            panic!("not an object")
        };
        read(&body, "2026-06-19".parse().unwrap())
    }

    fn good() -> Value {
        json!({
            "account": "acc-1", "underlying": "ACME", "expiry": "2026-06-19", "strike": "50",
            "right": "put", "side": "sell", "quantity": 10_000, "limit_price": "0.05",
        })
    }

    #[test]
    fn a_good_body_is_read() {
        let terms = read_json(good()).unwrap();
        assert_eq!(
            (terms.side, terms.contract.right, terms.quantity),
            (Side::Sell, Right::Put, 10_000)
        );
        assert_eq!(terms.limit_price.ticks(), 500);
    }

    #[test]
    fn every_single_fault_is_found_under_its_field() {
        for (field, bad) in [
            ("account", json!("Acc 1")),
            ("account", json!("")),
            ("underlying", json!("acme")),
            ("expiry", json!("2026-06-18")),
            ("strike", json!(50)),
            ("strike", json!("0")),
            ("right", json!("CALL")),
            ("side", Value::Null),
            ("quantity", json!(0)),
            ("quantity", json!(10_001)),
            ("quantity", json!(1.5)),
            ("limit_price", json!("-1")),
            ("limit", json!("1")),
        ] {
            let mut body = good();
            body[field] = bad;
            let faults = read_json(body).unwrap_err();
            assert_eq!(
                faults
                    .iter()
                    .map(|fault| fault.field.as_str())
                    .collect::<Vec<_>>(),
                [field]
            );
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        assert_eq!(read_json(json!({})).unwrap_err().len(), FIELDS.len());
    }
}
