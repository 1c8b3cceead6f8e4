//! The document of the Web API as Swagger 2.0, converted from the OpenAPI document, for connectors and gateways that accept
//! nothing newer.
//!
//! Swagger 2.0 cannot express three things. A value that can be null is marked with `x-nullable`, and no such member is required.
//! The form as another type of body is left out. A bearer token is described as a header.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value as Json, json};

use super::{MEDIA_TYPES, openapi};

/// The document. `server_url`: scheme, host, port, and a path if the service is below one.
pub fn render(server_url: &str) -> String {
    // Everything but the address is constant, and any caller may request it.
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| format!("{:#}\n", document()));
    let (scheme, rest) = server_url.split_once("://").unwrap_or(("http", server_url));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = format!("/{}", path.trim_end_matches('/'));
    [(SCHEME, scheme), (HOST, host), (BASE_PATH, &path)]
        .into_iter()
        .fold(DOCUMENT.clone(), |document, (name, value)| {
            document.replacen(&json!(name).to_string(), &json!(value).to_string(), 1)
        })
}

// Stand-ins for the parts of the address.
const SCHEME: &str = "{scheme}";
const HOST: &str = "{host}";
const BASE_PATH: &str = "{path}";

fn document() -> Json {
    let newer = openapi::document();
    let components = &newer["components"];
    let mut nullable = BTreeSet::new();
    find_nullable(&newer, &mut nullable);
    let mut info = newer["info"].clone();
    if let Some(license) = info["license"].as_object_mut() {
        license.remove("identifier");
    }
    json!({
        "swagger": "2.0",
        "info": info,
        "host": HOST,
        "basePath": BASE_PATH,
        "schemes": [SCHEME],
        "security": newer["security"],
        "produces": MEDIA_TYPES,
        "tags": newer["tags"],
        "paths": each(&newer["paths"], path_item),
        "securityDefinitions": each(&components["securitySchemes"], security),
        "parameters": each(&components["parameters"], parameter),
        "responses": each(&components["responses"], response),
        "definitions": definitions(&components["schemas"], &nullable),
    })
}

/// Names of the schemas whose values may be null in some place.
fn find_nullable<'d>(value: &'d Json, found: &mut BTreeSet<&'d str>) {
    match value {
        Json::Object(members) => {
            let choices = members.get("anyOf").and_then(Json::as_array).into_iter().flatten();
            found.extend(choices.filter_map(|of| of["$ref"].as_str()?.rsplit('/').next()));
            members.values().for_each(|value| find_nullable(value, found));
        }
        Json::Array(items) => items.iter().for_each(|item| find_nullable(item, found)),
        _ => {}
    }
}

/// A reference has no other members beside it, so the schema itself says that it can be null.
fn definitions(schemas: &Json, nullable: &BTreeSet<&str>) -> Json {
    let converted = schemas.as_object().into_iter().flatten().map(|(name, value)| {
        let mut definition = definition(value);
        if nullable.contains(name.as_str()) {
            definition["x-nullable"] = json!(true);
        }
        (name.clone(), definition)
    });
    converted.collect::<Map<_, _>>().into()
}

/// An object with each of its values converted.
fn each(object: &Json, convert: impl Fn(&Json) -> Json) -> Json {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), convert(value))).collect::<Map<_, _>>().into()
}

/// 2.0 has no bearer tokens: they are described as a header.
fn security(scheme: &Json) -> Json {
    let mut scheme = scheme.clone();
    if scheme["type"] == "http" {
        let is_basic = scheme["scheme"] == "basic";
        scheme = match is_basic {
            true => json!({ "type": "basic", "description": scheme["description"] }),
            false => json!({
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "`Bearer 7T:...`: the same ticket as a bearer token.",
            }),
        };
    }
    scheme
}

/// A path with its methods.
fn path_item(item: &Json) -> Json {
    let members = item.as_object().into_iter().flatten().map(|(name, value)| {
        let value = match name.as_str() {
            "parameters" => list(value, parameter),
            _ => operation(value),
        };
        (name.clone(), value)
    });
    members.collect::<Map<_, _>>().into()
}

fn operation(of: &Json) -> Json {
    let mut operation = of.clone();
    let mut parameters: Vec<Json> = of["parameters"].as_array().into_iter().flatten().map(parameter).collect();
    if let Some(body) = operation.as_object_mut().and_then(|members| members.remove("requestBody")) {
        // A form cannot stand beside a body.
        operation["consumes"] = media_types(&body).filter(|name| !name.ends_with("form-urlencoded")).collect();
        parameters.push(json!({
            "name": "request", "in": "body", "required": body["required"], "schema": schema_of(&body),
        }));
    }
    operation["parameters"] = parameters.into();
    // Without an answer of its own, its refusals have all media types.
    let produced = media_types(&of["responses"]["200"]).collect::<Vec<_>>();
    if !produced.is_empty() && produced != MEDIA_TYPES {
        operation["produces"] = produced.into();
    }
    operation["responses"] = each(&of["responses"], response);
    operation
}

fn media_types(of: &Json) -> impl Iterator<Item = &str> {
    of["content"].as_object().into_iter().flat_map(Map::keys).map(String::as_str)
}

/// The one schema of all media types.
fn schema_of(of: &Json) -> Json {
    of["content"].as_object().and_then(|content| content.values().next()).map_or(Json::Null, |of| schema(&of["schema"]))
}

fn response(of: &Json) -> Json {
    if of["$ref"].is_string() {
        return reference(of);
    }
    let mut response = json!({ "description": of["description"], "schema": schema_of(of) });
    if of["headers"].is_object() {
        response["headers"] = each(&of["headers"], |header| {
            let mut said = schema(&header["schema"]);
            if header["description"].is_string() {
                said["description"] = header["description"].clone();
            }
            said
        });
    }
    response
}

/// A parameter contains its type.
fn parameter(of: &Json) -> Json {
    if of["$ref"].is_string() {
        return reference(of);
    }
    let mut parameter = of.clone();
    let own = parameter.as_object_mut().and_then(|members| members.remove("schema"));
    for (name, value) in own.as_ref().map(schema).as_ref().and_then(Json::as_object).into_iter().flatten() {
        // Only a schema has an example.
        let name = if name == "example" { "x-example" } else { name };
        parameter[name] = value.clone();
    }
    parameter
}

fn reference(of: &Json) -> Json {
    let path = of["$ref"].as_str().unwrap_or_default();
    let path = path.replace("#/components/schemas/", "#/definitions/").replace("#/components/", "#/");
    json!({ "$ref": path })
}

/// A named schema. A member that can be null is not required; that is so for all members of an answer.
fn definition(of: &Json) -> Json {
    let mut definition = schema(of);
    let properties = &of["properties"];
    let is_nullable = |name: &Json| name.as_str().is_some_and(|name| can_be_null(&properties[name]));
    let required: Vec<_> = of["required"].as_array().into_iter().flatten().filter(|name| !is_nullable(name)).collect();
    if let Some(members) = definition.as_object_mut() {
        members.remove("required");
        // 2.0 has no empty list here.
        members.extend((!required.is_empty()).then(|| ("required".to_owned(), json!(required))));
    }
    definition
}

fn can_be_null(schema: &Json) -> bool {
    let is_null = |of: &Json| of["type"] == "null";
    let names_null = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
    names_null || schema["anyOf"].as_array().is_some_and(|all| all.iter().any(is_null))
}

fn schema(of: &Json) -> Json {
    if of["$ref"].is_string() {
        return reference(of);
    }
    // This or null; see `definitions`.
    if let Some(all) = of["anyOf"].as_array() {
        return all.iter().find(|of| of["type"] != "null").map_or(Json::Null, schema);
    }
    let mut said = Map::new();
    for (name, value) in of.as_object().into_iter().flatten() {
        match name.as_str() {
            "type" => {
                let types = value.as_array().map_or_else(|| vec![value], |types| types.iter().collect());
                said.extend(types.iter().find(|kind| **kind != "null").map(|kind| (name.clone(), (*kind).clone())));
            }
            "properties" => _ = said.insert(name.clone(), each(value, schema)),
            "items" => _ = said.insert(name.clone(), schema(value)),
            "additionalProperties" if value.is_object() => _ = said.insert(name.clone(), schema(value)),
            "const" => _ = said.insert("enum".to_owned(), json!([value])),
            "examples" => _ = said.insert("example".to_owned(), value[0].clone()),
            "contentEncoding" => _ = said.insert("format".to_owned(), json!("byte")),
            _ => _ = said.insert(name.clone(), value.clone()),
        }
    }
    if can_be_null(of) {
        said.insert("x-nullable".to_owned(), json!(true));
    }
    said.into()
}

fn list(of: &Json, again: impl Fn(&Json) -> Json) -> Json {
    of.as_array().into_iter().flatten().map(again).collect()
}
