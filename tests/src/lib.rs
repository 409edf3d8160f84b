//! System tests only: see `it/main.rs`.
