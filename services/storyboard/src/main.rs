//! The storyboard service as a process of its own.

use std::process::ExitCode;

use messages::service::Service;

fn main() -> ExitCode {
    runtime::service::run_worker(Service::Storyboard, "Draws beat pictures", |_| storyboard::handler())
}
