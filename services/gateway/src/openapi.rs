//! The OpenAPI document, made from the handlers themselves.

use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::error::WrongField;
use crate::{artifacts, catalogue, checkpoints, edits, health, progress, uploads, videos};

#[derive(OpenApi)]
#[openapi(
    info(title = "Dailies", description = "Films from a prompt, in four phases, with a person at every checkpoint."),
    paths(
        videos::generate,
        videos::list,
        videos::show,
        videos::change,
        videos::delete,
        videos::status,
        progress::stream,
        checkpoints::approve,
        videos::retry,
        videos::cancel,
        videos::resolve,
        videos::history,
        videos::cost,
        videos::retention,
        checkpoints::compare,
        checkpoints::branches,
        checkpoints::tree,
        checkpoints::list,
        checkpoints::current,
        checkpoints::show,
        edits::spec,
        edits::audio,
        edits::regenerate_beat,
        edits::regenerate_chunk,
        edits::select,
        edits::take,
        uploads::image,
        uploads::chunk,
        uploads::music,
        checkpoints::reject,
        checkpoints::abandon,
        checkpoints::fork,
        checkpoints::pin,
        artifacts::content,
        catalogue::models,
        catalogue::templates,
        catalogue::beats,
        document,
        health::alive,
        health::ready,
        health::metrics,
    ),
    // What only `Refusal` names.
    components(schemas(WrongField)),
    modifiers(&Keyed)
)]
struct Api;

/// Says how a key is sent. None is needed where a gateway serves its own machine alone.
struct Keyed;

impl Modify for Keyed {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        api.components.get_or_insert_default().add_security_scheme("key", scheme);
        api.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new("key", [""; 0])]);
    }
}

/// This document.
#[utoipa::path(get, path = "/api/openapi.json", tag = "health", responses((status = 200, body = Object)))]
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Api::openapi())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::router::{API, HEALTH, UPLOADS};

    fn document() -> serde_json::Value {
        serde_json::to_value(Api::openapi()).expect("JSON")
    }

    #[test]
    fn the_document_names_exactly_the_routes_that_there_are() {
        let mut documented = BTreeSet::new();
        for (path, item) in document()["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("operations").keys() {
                documented.insert((method.clone(), path.clone()));
            }
        }
        let routed =
            API.iter().chain(UPLOADS).chain(HEALTH).map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
        assert_eq!(documented, routed.collect());
    }

    #[test]
    fn every_schema_that_is_referred_to_is_there() {
        let text = document().to_string();
        let document = document();
        for name in text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn every_path_parameter_is_documented() {
        for (path, item) in document()["paths"].as_object().expect("paths") {
            for operation in item.as_object().expect("operations").values() {
                let empty = Vec::new();
                let parameters = operation["parameters"].as_array().unwrap_or(&empty);
                let named: BTreeSet<_> = parameters
                    .iter()
                    .filter(|parameter| parameter["in"] == "path")
                    .map(|parameter| parameter["name"].as_str().expect("a name"))
                    .collect();
                let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
                assert_eq!(named, in_path.collect(), "{path}");
            }
        }
    }

    #[test]
    fn w47_the_statuses_of_a_video_are_written_out() {
        let schema = document()["components"]["schemas"]["Status"]["properties"]["status"].clone();
        assert_eq!(schema["enum"].as_array().map(Vec::len), Some(12), "{schema}");
    }
}
