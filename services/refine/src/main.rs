//! The refine service as a process of its own.

use std::process::ExitCode;

use messages::service::Service;

fn main() -> ExitCode {
    runtime::service::run_worker(Service::Refine, "Makes music, mix and thumbnail", |tools| {
        refine::handler(tools.media)
    })
}
