//! The files of a deployment against what they are about: nobody here runs containers, so every name in them is checked.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{dailies, nats_server, program, root, text};
use crate::nats_cli::client;

/// The programs of the workspace, as the image has them.
const PROGRAMS: [&str; 7] = ["coordinator", "gateway", "planner", "storyboard", "chunk", "refine", "dailies"];

#[test]
fn every_program_flag_and_setting_of_the_compose_file_exists() {
    let Some(services) = services("every_program_flag_and_setting_of_the_compose_file_exists") else { return };
    let settings: toml::Table = toml::from_str(runtime::config::DEFAULTS).expect("the defaults");
    let mut run = BTreeSet::new();
    for (name, service) in services.iter().filter(|(_, service)| service["image"] == "dailies") {
        let command = words(&service["command"]);
        run.insert(command[0].clone());
        assert_understood(name, &command);
        let healthcheck = words(&service["healthcheck"]["test"]);
        if !healthcheck.is_empty() {
            assert_eq!(healthcheck[0], "CMD", "{name}");
            assert_understood(name, &healthcheck[1..]);
        }
        for variable in service["environment"].as_object().into_iter().flatten().map(|(variable, _)| variable) {
            // The one that is no setting of ours: whatever reaches PostgreSQL reads it.
            if variable == "PGPASSWORD" {
                continue;
            }
            let setting = variable.strip_prefix("DAILIES_").and_then(|rest| rest.split_once("__"));
            let (section, key) = setting.unwrap_or_else(|| panic!("{name}: {variable} is no setting"));
            let section = settings.get(&section.to_lowercase()).and_then(|section| section.as_table());
            assert!(section.is_some_and(|keys| keys.contains_key(&key.to_lowercase())), "{name}: {variable}");
        }
    }
    for program in PROGRAMS {
        assert!(run.contains(program), "{program} is never run");
    }
}

#[test]
fn a_password_of_any_characters_reaches_the_database_of_the_compose_file() {
    let Some(services) = services("a_password_of_any_characters_reaches_the_database_of_the_compose_file") else {
        return;
    };
    let password = &services["postgres"]["environment"]["POSTGRES_PASSWORD"];
    for name in ["migrate", "coordinator"] {
        let environment = &services[name]["environment"];
        assert_eq!(&environment["PGPASSWORD"], password, "{name}");
        let url: reqwest::Url = text(&environment["DAILIES_COORDINATOR__DATABASE"]).parse().expect("a URL");
        assert_eq!((url.username(), url.password()), ("dailies", None), "{name}: it would have to be escaped there");
    }
}

#[test]
fn the_services_of_the_compose_file_can_be_scaled_stopped_and_looked_after() {
    let test = "the_services_of_the_compose_file_can_be_scaled_stopped_and_looked_after";
    let Some(services) = services(test) else { return };
    let grace = runtime::worker::WorkerSettings::default().grace;
    for (name, service) in &services {
        let ends_by_itself = matches!(name.as_str(), "migrate" | "key");
        assert!(ends_by_itself || service["healthcheck"]["test"].is_array(), "{name} has no healthcheck");
        for (needed, how) in service["depends_on"].as_object().into_iter().flatten() {
            assert_ne!(how["condition"], "service_started", "{name} does not wait until {needed} is ready");
            assert!(services.contains_key(needed), "{name} needs {needed}");
        }
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name} can be reached from elsewhere");
        }
        if ["planner", "storyboard", "chunk", "refine", "coordinator"].contains(&name.as_str()) {
            assert!(service["ports"].is_null() && service["container_name"].is_null(), "{name} cannot be scaled");
            let stop = text(&service["stop_grace_period"]).trim_end_matches('s').parse().expect("seconds");
            assert!(Duration::from_secs(stop) > grace + Duration::from_secs(10), "{name} is killed at work");
        }
    }
}

#[test]
fn the_nats_nodes_of_the_compose_file_take_their_flags_and_differ_in_name_alone() {
    let test = "the_nats_nodes_of_the_compose_file_take_their_flags_and_differ_in_name_alone";
    let Some(services) = services(test) else { return };
    let nodes = services.iter().filter(|(name, _)| name.starts_with("nats-"));
    // The server checks its flags only together with a file.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "debug: false\n").expect("written");
    let mut kinds = BTreeSet::new();
    let mut count = 0;
    for (name, service) in nodes {
        count += 1;
        let flags = words(&service["command"]);
        let mut checked = Command::new(nats_server());
        let checked = checked
            .args(&flags)
            .arg("-c")
            .arg(file.path())
            .arg("-t")
            .stdin(Stdio::null())
            .output()
            .expect("nats-server runs");
        assert!(checked.status.success(), "{name}: {}", String::from_utf8_lossy(&checked.stderr));
        assert!(flags.contains(&format!("--server_name={name}")), "{flags:?}");
        assert!(flags.iter().any(|flag| flag.contains(&format!("//{name}:6222"))), "{name} is on no route");
        kinds.insert(flags.iter().filter(|flag| !flag.contains("server_name")).cloned().collect::<Vec<_>>());
    }
    assert_eq!((count, kinds.len()), (3, 1), "{kinds:#?}");
}

#[test]
fn the_image_is_built_from_what_is_there_with_the_compiler_of_the_workspace() {
    let read =
        |file: &str| std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (image, ignored, toolchain) = (read("Dockerfile"), read(".dockerignore"), read("rust-toolchain.toml"));
    let toolchain: toml::Table = toml::from_str(&toolchain).expect("TOML");
    let compiler = toolchain["toolchain"]["channel"].as_str().expect("a version");
    assert!(image.contains(&format!("FROM rust:{compiler}-")), "{compiler} is not what the image is built with");
    let copies = image.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"));
    for line in copies {
        let mut sources: Vec<_> = line.split_whitespace().collect();
        sources.pop();
        for source in sources {
            assert!(root().join(source).exists(), "{source} is not there");
            assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} never reaches the builder");
        }
    }
    for program in PROGRAMS {
        assert!(image.contains(&format!(" {program}")), "{program} is not in the image");
    }
    assert!(image.lines().any(|line| line.starts_with("USER ") && line != "USER root"), "it runs as root");
}

/// Services as Docker Compose reads them, which means that the file is valid; none, and said so, without the reader.
fn services(test: &str) -> Option<serde_json::Map<String, Value>> {
    let reader = client("DAILIES_COMPOSE", ".tools/compose", test)?;
    let read = Command::new(reader).arg(root().join("docker-compose.yml")).stdin(Stdio::null()).output();
    let read = read.expect("the reader of Compose files runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let mut project: Value = serde_json::from_slice(&read.stdout).expect("JSON");
    let services = project["services"].as_object_mut().map(std::mem::take);
    Some(services.expect("services by name"))
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|word| text(word).to_owned()).collect()
}

/// That a program of ours takes a command. With `--help` behind it nothing is done, and what comes before is still read.
fn assert_understood(service: &str, command: &[String]) {
    let command = match command {
        // Some condition, then one command.
        [shell, flag, script] if shell == "sh" && flag == "-c" => {
            let (_, command) = script.split_once("|| ").expect("a condition");
            command.split_whitespace().map(str::to_owned).collect()
        }
        command => command.to_vec(),
    };
    assert!(PROGRAMS.contains(&command[0].as_str()), "{service} runs {command:?}");
    let mut asked = if command[0] == "dailies" { dailies() } else { program(&command[0]) };
    let asked = asked.args(&command[1..]).arg("--help").stdin(Stdio::null()).output().expect("it runs");
    assert!(asked.status.success(), "{service}: {command:?}: {}", String::from_utf8_lossy(&asked.stderr));
}
