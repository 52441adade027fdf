//! Objectives for others: what is asked here, said in the language of somebody else, so that leaving is easy.

pub(crate) mod alertmanager;
pub(crate) mod grafana;
pub(crate) mod prometheus;
