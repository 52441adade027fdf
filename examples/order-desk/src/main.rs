//! The order desk as a program: reads its arguments, serves until it is told to stop.
#![allow(
    clippy::disallowed_methods,
    reason = "an ordinary service uses the ordinary clock and runtime; the ban is for code that is simulated"
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program talks to whoever started it"
)]

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;

use order_desk::{Database, DeskConfig, broker_sim};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
An options order desk.

Usage: order-desk [OPTIONS]

  --listen ADDRESS      where to serve                     [127.0.0.1:3000]
  --broker URL          http://host:port of the broker     [http://127.0.0.1:9901]
  --database DATABASE   a file, :memory: or postgres://... [desk.sqlite]
  --broker-sim ADDRESS  also start a pretended broker here
  --help                print this
";

struct Arguments {
    desk: DeskConfig,
    broker_sim: Option<SocketAddr>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("order-desk: {wrong}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("order-desk: {}", order_desk::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let broker = match arguments.broker_sim {
        Some(listen) => Some(broker_sim::start(listen).await?),
        None => None,
    };
    if let Some(broker) = &broker {
        println!("pretended broker on http://{}", broker.address());
    }
    let desk = order_desk::start(arguments.desk).await?;
    println!("order desk on http://{}", desk.address());
    tokio::select! {
        biased;
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    desk.stop().await;
    if let Some(broker) = broker {
        broker.stop().await;
    }
    Ok(())
}

/// Reads the arguments; `None` when only the usage is wanted.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
    let address = |text: String| {
        text.parse()
            .map_err(|_| format!("`{text}` is not an address like 127.0.0.1:3000"))
    };
    let mut desk = DeskConfig::new(
        SocketAddr::from(([127, 0, 0, 1], 3000)),
        "http://127.0.0.1:9901",
        Database::SqliteFile("desk.sqlite".into()),
    );
    let mut broker_sim = None;
    while let Some(name) = arguments.next() {
        if name == "--help" || name == "-h" {
            return Ok(None);
        }
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => desk.listen = address(value()?)?,
            "--broker" => desk.broker = value()?,
            "--database" => desk.database = database(value()?),
            "--broker-sim" => broker_sim = Some(address(value()?)?),
            _ => return Err(format!("unknown argument `{name}`")),
        }
    }
    Ok(Some(Arguments { desk, broker_sim }))
}

fn database(text: String) -> Database {
    match text.as_str() {
        ":memory:" => Database::SqliteMemory,
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Database::Postgres(text),
        _ => Database::SqliteFile(text.into()),
    }
}
