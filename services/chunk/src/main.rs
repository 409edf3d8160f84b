//! The chunk service as a process of its own.

use std::process::ExitCode;

use messages::service::Service;

fn main() -> ExitCode {
    runtime::service::run_worker(Service::Chunk, "Renders chunks and stitches them", |tools| {
        chunk::handler(tools.media, tools.threads)
    })
}
