//! The desk over HTTP: what there is, and what each request does.
//!
//! ```text
//! POST   /v1/orders                          place an order
//! GET    /v1/orders/{id}                     read it
//! DELETE /v1/orders/{id}                     cancel it
//! GET    /v1/accounts/{account}/positions    what the account holds and has open
//! GET    /v1/accounts/{account}/risk         how much of its limits that uses
//! GET    /v1/quotes/stream?underlying=ACME   quotes as server-sent events
//! GET    /healthz                            whether the desk can reach its database
//! ```
//!
//! A handler that is dropped half-way, because its client went away, loses nothing: the order is on disk before
//! the broker is asked, and [`crate::settle`] asks again about any whose answer was not heard.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full, LengthLimitError};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::App;
use crate::broker::{BrokerError, Trace};
use crate::dice::fresh_seed;
use crate::domain::order::{Order, Report, Status};
use crate::domain::price::Price;
use crate::domain::risk::{Position, exposure};
use crate::draft;
use crate::problem::Problem;
use crate::quotes::Quotes;
use crate::server::read_body;
use crate::store::{Account, Placed};
use crate::timestamp::Timestamp;

/// An order is a few hundred bytes.
const BODY_MAX: usize = 16 * 1024;

/// A client that needs longer to send an order has lost its connection without knowing.
const BODY_WITHIN: Duration = Duration::from_secs(5);

const KEY_LENGTH_MAX: usize = 255;

pub(crate) type Body = Either<Full<Bytes>, Quotes>;

/// Answers one request.
pub(crate) async fn answer(app: Arc<App>, request: Request<Incoming>) -> Response<Body> {
    match route(&app, request).await {
        Ok(response) => response,
        Err(problem) => problem.response().map(Either::Left),
    }
}

async fn route(app: &App, request: Request<Incoming>) -> Result<Response<Body>, Problem> {
    let (head, body) = request.into_parts();
    let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    match (&head.method, path.as_slice()) {
        (&Method::POST, ["v1", "orders"]) => place(app, &head.headers, body).await,
        (&Method::GET, ["v1", "orders", id]) => read(app, id).await,
        (&Method::DELETE, ["v1", "orders", id]) => cancel(app, id, &head.headers).await,
        (&Method::GET, ["v1", "accounts", account, "positions"]) => positions(app, account).await,
        (&Method::GET, ["v1", "accounts", account, "risk"]) => risk(app, account).await,
        (&Method::GET, ["v1", "quotes", "stream"]) => quotes(app, &head),
        (&Method::GET, ["healthz"]) => health(app).await,
        (_, ["v1", "orders"]) => Err(Problem::MethodNotAllowed("POST")),
        (_, ["v1", "orders", _]) => Err(Problem::MethodNotAllowed("GET, DELETE")),
        (_, ["v1", "accounts", _, "positions" | "risk"] | ["v1", "quotes", "stream"] | ["healthz"]) => {
            Err(Problem::MethodNotAllowed("GET"))
        }
        _ => Err(Problem::NoSuchResource),
    }
}

async fn place(app: &App, headers: &HeaderMap, body: Incoming) -> Result<Response<Body>, Problem> {
    let tier = headers.get("x-tier").and_then(|tier| tier.to_str().ok());
    if tier.is_some() && tier == app.fault_tier.as_deref() {
        return Err(Problem::StoreUnavailable);
    }
    let key = idempotency_key(headers)?;
    let body = tokio::time::timeout(BODY_WITHIN, read_body(body, BODY_MAX))
        .await
        .map_err(|_| Problem::MalformedRequest("the body did not arrive in time"))?
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Problem::BodyTooLarge
            } else {
                Problem::MalformedRequest("the body broke off")
            }
        })?;
    let body = serde_json::from_slice(&body)
        .map_err(|_| Problem::MalformedRequest("the body is not a JSON object"))?;
    let now = Timestamp::now();
    let terms = draft::read(&body, now.date()).map_err(Problem::InvalidOrder)?;
    // Ids sort by time, which keeps the end of the index warm; the rest makes them unguessable enough.
    let id = format!("o-{:011x}-{:016x}", now.millis(), fresh_seed());
    let order = Order {
        id,
        terms,
        status: Status::Pending,
        idempotency_key: key,
    };
    let trace = Trace::of(headers);
    match app.store.place(order, app.limits, now).await? {
        Placed::New(order) => {
            let order = submit(app, order, &trace).await?;
            Ok(order_response(StatusCode::CREATED, &order))
        }
        Placed::Replayed(order) if order.status.is_unsettled() => {
            let order = submit(app, order, &trace).await?;
            Ok(order_response(StatusCode::OK, &order))
        }
        Placed::Replayed(order) => Ok(order_response(StatusCode::OK, &order)),
        Placed::KeyReused => Err(Problem::IdempotencyKeyReused),
        Placed::Refused(breach) => Err(Problem::RiskLimit(breach)),
    }
}

/// Asks the broker to execute an order that is written down, and writes down what it says.
async fn submit(app: &App, order: Order, trace: &Trace) -> Result<Order, Problem> {
    let said = app.broker.execute(&order, trace).await;
    let (order, error) = take_down(app, order, said).await?;
    match error {
        // Another request may have learnt meanwhile what this one could not.
        Some(error) if order.status.is_unsettled() => Err(Problem::BrokerUnavailable(Box::new(order), error)),
        _ => Ok(order),
    }
}

async fn take_down(
    app: &App,
    order: Order,
    said: Result<Report, BrokerError>,
) -> Result<(Order, Option<BrokerError>), Problem> {
    let (report, error) = match said {
        Ok(report) => (report, None),
        Err(error) => (Report::Unknown, Some(error)),
    };
    let heard = app.store.hear(&order.id, report, Timestamp::now()).await?;
    Ok((heard.unwrap_or(order), error))
}

async fn read(app: &App, id: &str) -> Result<Response<Body>, Problem> {
    Ok(order_response(StatusCode::OK, &find(app, id).await?))
}

/// Cancels at the broker first: an order is not cancelled because the desk says so.
async fn cancel(app: &App, id: &str, headers: &HeaderMap) -> Result<Response<Body>, Problem> {
    let mut order = find(app, id).await?;
    if order.status.is_open() {
        let said = app.broker.cancel(&order, &Trace::of(headers)).await;
        let (heard, error) = take_down(app, order, said).await?;
        order = heard;
        if let Some(error) = error.filter(|_| order.status.is_open()) {
            return Err(Problem::BrokerUnavailable(Box::new(order), error));
        }
    }
    match order.status {
        Status::Cancelled => Ok(order_response(StatusCode::OK, &order)),
        _ => Err(Problem::NotCancellable(Box::new(order))),
    }
}

async fn find(app: &App, id: &str) -> Result<Order, Problem> {
    app.store
        .order(id)
        .await?
        .ok_or_else(|| Problem::UnknownOrder(id.to_owned()))
}

async fn positions(app: &App, name: &str) -> Result<Response<Body>, Problem> {
    let account = account(app, name).await?;
    let position = |position: &Position| {
        let (contract, held) = (&position.contract, position.held);
        json!({
            "underlying": contract.underlying,
            "expiry": contract.expiry.to_string(),
            "strike": contract.strike.to_string(),
            "right": contract.right.word(),
            "net": held.net,
            "open_buy": held.open_buy,
            "open_sell": held.open_sell,
        })
    };
    let positions: Value = account.positions.iter().map(position).collect();
    Ok(json_response(
        StatusCode::OK,
        &json!({ "account": name, "positions": positions }),
    ))
}

async fn risk(app: &App, name: &str) -> Result<Response<Body>, Problem> {
    let Account { limits, positions } = account(app, name).await?;
    let used = exposure(&positions);
    let share = |used: i64, limit: i64| {
        // A ratio in the same ten-thousandths as prices, so that it needs no float either.
        let ratio = i128::from(used) * 10_000 / i128::from(limit.max(1));
        Price::from_ticks(ratio as i64).to_string()
    };
    let body = json!({
        "account": name,
        "exposure": { "contracts": used.contracts, "notional": used.notional.to_string() },
        "limits": { "contracts": limits.contracts_max, "notional": limits.notional_max.to_string() },
        "utilisation": {
            "contracts": share(used.contracts, limits.contracts_max),
            "notional": share(used.notional.ticks(), limits.notional_max.ticks()),
        },
    });
    Ok(json_response(StatusCode::OK, &body))
}

async fn account(app: &App, name: &str) -> Result<Account, Problem> {
    app.store
        .account(name)
        .await?
        .ok_or_else(|| Problem::UnknownAccount(name.to_owned()))
}

fn quotes(app: &App, head: &Parts) -> Result<Response<Body>, Problem> {
    let query = head.uri.query().unwrap_or_default();
    let underlying = query.split('&').find_map(|pair| pair.strip_prefix("underlying="));
    let underlying = underlying
        .filter(|text| draft::is_symbol(text))
        .ok_or(Problem::MalformedRequest(
            "the query needs underlying=SYMBOL, of A-Z, 0-9 and .",
        ))?;
    let quotes = Quotes::new(underlying.to_owned(), app.quote_interval, app.quote_events_max);
    let mut response = Response::new(Either::Right(quotes));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Healthy is who can read an order. The broker's health is its own: without it the desk still reads.
async fn health(app: &App) -> Result<Response<Body>, Problem> {
    app.store.order("").await?;
    Ok(json_response(StatusCode::OK, &json!({ "status": "ok" })))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match key.to_str() {
        Ok(key) if (1..=KEY_LENGTH_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::MalformedRequest(
            "the Idempotency-Key is not 1 to 255 visible characters",
        )),
    }
}

fn order_response(status: StatusCode, order: &Order) -> Response<Body> {
    let terms = &order.terms;
    let body = json!({
        "id": order.id,
        "status": order.status.word(),
        "account": terms.account,
        "underlying": terms.contract.underlying,
        "expiry": terms.contract.expiry.to_string(),
        "strike": terms.contract.strike.to_string(),
        "right": terms.contract.right.word(),
        "side": terms.side.word(),
        "quantity": terms.quantity,
        "limit_price": terms.limit_price.to_string(),
    });
    let mut response = json_response(status, &body);
    if status == StatusCode::CREATED {
        let location = HeaderValue::from_str(&format!("/v1/orders/{}", order.id));
        response
            .headers_mut()
            .insert(header::LOCATION, location.expect("ids are plain ASCII"));
    }
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
