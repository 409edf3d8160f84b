//! The planner service as a process of its own.

use std::process::ExitCode;

use messages::service::Service;

fn main() -> ExitCode {
    runtime::service::run_worker(Service::Planner, "Makes specs from prompts", |_| planner::handler())
}
