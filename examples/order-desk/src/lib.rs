//! An options order desk.

pub mod domain;
