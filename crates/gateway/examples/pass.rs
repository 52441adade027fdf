#![allow(clippy::disallowed_methods)]
use gateway::env::Env;
use gateway::plan::*;
use gateway::*;
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let up = std::env::args().nth(1).unwrap();
    let cores: usize = std::env::args().nth(2).unwrap_or("1".into()).parse().unwrap();
    let (h, p) = up.rsplit_once(':').unwrap();
    let env = Env::real();
    let plan = Plan::in_front_of(
        "127.0.0.1:8080".parse().unwrap(),
        UpstreamPlan::new("u", vec![EndpointPlan::Host(h.into(), p.parse().unwrap())]),
    );
    let (gw, seats, mut events) = rt.block_on(Gateway::build(env, plan, cores)).unwrap();
    rt.spawn(async move {
        while let Some(e) = events.recv().await {
            if std::env::args().nth(3).is_some() {
                eprintln!("{e:?}");
            }
        }
    });
    let g = gw.clone();
    rt.spawn(async move {
        loop {
            g.sweep_outliers();
            g.learn_times();
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    });
    let t: Vec<_> = seats
        .into_iter()
        .map(|seat| {
            std::thread::spawn(move || {
                let rt = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build_local(Default::default())
                    .unwrap();
                rt.block_on(seat.run());
            })
        })
        .collect();
    for t in t {
        t.join().unwrap();
    }
}
