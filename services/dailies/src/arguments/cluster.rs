//! What may be typed after `dailies cluster`.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

/// `dailies cluster`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cluster {
    /// Something else than running it.
    #[command(subcommand)]
    pub command: Option<ClusterCommand>,
    /// How many processes of each service.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub replicas: u8,
    /// How many of the coordinator.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub coordinator: Option<u8>,
    /// How many of the gateway; the first listens at --listen, the others on free ports.
    // `--gateway` is where another cluster's is, for every command.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub gateways: Option<u8>,
    /// How many of the planner.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub planner: Option<u8>,
    /// How many of the storyboard service.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub storyboard: Option<u8>,
    /// How many of the chunk service.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub chunk: Option<u8>,
    /// How many of the refine service.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=32))]
    pub refine: Option<u8>,
    /// Where the gateway listens; a loopback address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,
    /// Where the first of three NATS nodes listens on loopback, the others on the next ports; 0 takes free ones.
    #[arg(long, value_name = "PORT", default_value_t = 4222)]
    pub nats_port: u16,
}

/// `dailies cluster stop`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ClusterCommand {
    /// End the one that runs in the data folder; the data stays.
    Stop,
}

impl Cluster {
    /// How many processes of a service.
    pub fn replicas_of(&self, service: &str) -> u8 {
        let own = match service {
            "coordinator" => self.coordinator,
            "gateway" => self.gateways,
            "planner" => self.planner,
            "storyboard" => self.storyboard,
            "chunk" => self.chunk,
            "refine" => self.refine,
            _ => None,
        };
        own.unwrap_or(self.replicas)
    }
}
