//! What may be asked of a contract whose messages are whole HTTP requests, as an OpenAPI 3.1 document.
//!
//! Everything comes from the templates, the code tables and the model's descriptors with their documentation; nothing is
//! written by hand but the words around them. A schema says what makes a message one of the contract: what breaks it is
//! answered with a problem of the contract. Rules that look at more than one value (check digits, which amount goes with
//! which kind) are told in words. Source: OpenAPI Specification 3.1.1, JSON Schema 2020-12.

use prost_reflect::Kind;
use proto::{
    rules::rule_of,
    terms::{Term, term_of},
};
use serde_json::{Map, Value as Json, json};

use crate::{
    codec::{Codec, unit_code::Spacing},
    contract::{Contract, Reply, operations::member},
    explain::{Example, codes, format_of},
    template::{Form, Hole, Leaf, Piece, Slot, Template, Unset},
    wire::whole::HttpMessage,
};

/// The OpenAPI document; `None` if the contract's messages are no whole HTTP requests. `examples` are shown where there
/// are any, else made-up requests.
pub fn describe(contract: &Contract, examples: &[Example]) -> Option<Json> {
    contract.wire().whole()?;
    let describer = Describer { contract, examples };
    let (mut paths, mut webhooks) = (Map::new(), Map::new());
    let mut schemas = Map::new();
    schemas.insert("TransportProblem".to_owned(), transport_problem());
    for (message, direction, request) in contract.templates() {
        if direction == Reply::Notice {
            webhooks
                .insert(message.to_owned(), json!({ "post": describer.webhook(message, request) }));
        }
        if direction != Reply::Request {
            continue;
        }
        let (path, parameters) = describer.path(message, request);
        let operation = describer.operation(message, request, parameters, &mut schemas);
        let method = member(request, "method").and_then(literal).unwrap_or_default();
        let item = paths.entry(path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(method.to_ascii_lowercase(), operation);
        }
    }
    let mut document = json!({
        "openapi": "3.1.1",
        "info": {
            "title": contract.bank(),
            "version": contract.version(),
            "description": describer.introduction(),
        },
        "servers": [{ "url": "/" }],
        "security": [{ "mutualTLS": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "mutualTLS": {
                "type": "mutualTLS",
                "description": "The client certificate says which institution calls. 机构身份由客户端证书确定",
            } },
            "schemas": schemas,
        },
    });
    // An empty list reads as if the gateway told something: a bank's engineer looks for what.
    if !webhooks.is_empty()
        && let Some(document) = document.as_object_mut()
    {
        document.insert("webhooks".to_owned(), webhooks.into());
    }
    Some(document)
}

struct Describer<'d> {
    contract: &'d Contract,
    examples: &'d [Example],
}

/// Which way a schema's values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Describer<'_> {
    fn introduction(&self) -> String {
        let (from, to) = self.contract.in_force();
        let until = to.map(|day| format!(" to {day}")).unwrap_or_default();
        let key = self.contract.key_build().unwrap_or_default();
        format!(
            "In force from {from}{until}. Made from the contract: what it does not say is not here. The idempotency key is \
             `{key}`: the same request with the same key is answered as the first was and registers nothing twice; another \
             request with the same key is refused. Whatever is wrong with a request is told at once, in `errors`. Amounts \
             are in fen (分), moments carry their zone."
        )
    }

    /// The path with its parameters in braces, and the parameters.
    fn path(&self, message: &str, request: &Template) -> (String, Vec<Json>) {
        let (mut path, mut parameters) = (String::new(), Vec::new());
        let example = self.request(message).and_then(|example| {
            let message = HttpMessage::parse(&example)?;
            Some(message.request()?.1.split('?').next()?.to_owned())
        });
        let shown: Vec<&str> =
            example.iter().flat_map(|target| target.split('/').skip(1)).collect();
        let segments = member(request, "path").map(|slot| slot.children.iter());
        for (number, segment) in segments.into_iter().flatten().enumerate() {
            path.push('/');
            match (literal(segment), segment.leaf.as_ref()) {
                (Some(text), _) => path.push_str(text),
                (None, Some(leaf)) => {
                    let name = leaf.holes().next().map_or("value", |hole| last(&hole.path.text));
                    path.push_str(&format!("{{{name}}}"));
                    let mut parameter = self.parameter(name, "path", leaf);
                    let value = shown.get(number).filter(|value| !value.contains('%'));
                    if let (Some(value), Some(parameter)) = (value, parameter.as_object_mut()) {
                        parameter.insert("example".to_owned(), json!(value));
                    }
                    parameters.push(parameter);
                }
                (None, None) => {}
            }
        }
        (path, parameters)
    }

    fn parameter(&self, name: &str, place: &str, leaf: &Leaf) -> Json {
        let mut schema = self.leaf(leaf, Way::In);
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let required = place == "path" || !leaf.is_left_out();
        let mut parameter =
            json!({ "name": name, "in": place, "required": required, "schema": schema });
        put(&mut parameter, "description", description);
        parameter
    }

    fn operation(
        &self,
        message: &str,
        request: &Template,
        mut parameters: Vec<Json>,
        schemas: &mut Map<String, Json>,
    ) -> Json {
        for (part, place) in [("query", "query"), ("headers", "header")] {
            for slot in member(request, part).iter().flat_map(|slot| &slot.children) {
                if let Some(leaf) = &slot.leaf {
                    let mut parameter = self.parameter(&slot.name.written, place, leaf);
                    let example = self.request(message).filter(|_| place == "header");
                    let example = example.and_then(|it| header_of(&it, &slot.name.written));
                    put(&mut parameter, "example", example);
                    parameters.push(parameter);
                }
            }
        }
        let term = self.subject(message);
        let mut operation = json!({
            "operationId": message,
            "summary": told(&term),
            "parameters": parameters,
            "responses": self.responses(message, schemas),
        });
        if let Some(body) = member(request, "body") {
            let mut content = json!({ "schema": self.schema(body, Way::In) });
            let example = self.request(message).and_then(|example| body_of(&example));
            put(&mut content, "example", example);
            let body = json!({ "required": true, "content": { "application/json": content } });
            put(&mut operation, "requestBody", Some(body));
        }
        operation
    }

    /// A notice, as whoever is told by the gateway receives it. Source: standardwebhooks.com.
    fn webhook(&self, message: &str, notice: &Template) -> Json {
        let header = |name: &str, description: &str, schema: Json| {
            json!({
                "name": name, "in": "header", "required": false, "description": description,
                "schema": schema,
            })
        };
        let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
        json!({
            "operationId": format!("{message}_notice"),
            "summary": "Something happened to a case 通知",
            "description": NOTICE,
            "security": [],
            "parameters": [
                header("webhook-id", "The event's `id`; the same each time it is sent 事件编号", text("^[!-~]+$")),
                header("webhook-timestamp", "When it was sent, in seconds since 1970 发送时间", text("^[0-9]+$")),
                header(
                    "webhook-signature",
                    "HMAC-SHA256 over `webhook-id`.`webhook-timestamp`.body by each secret, blanks between 签名",
                    text("^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$"),
                ),
            ],
            "requestBody": {
                "required": true,
                "content": { "application/json": { "schema": self.schema(&notice.root, Way::Out) } },
            },
            "responses": {
                "2XX": { "description": "It is taken 已收妥" },
                "410": { "description": "Nothing more is wanted, until an operator resumes it 不再接收" },
                "429": { "description": "Not now: nothing is sent before `Retry-After` 稍后再来" },
                "503": { "description": "The same 稍后再来" },
                "default": { "description": "It is not taken: it is sent again 未收" },
            },
        })
    }

    /// What a message is about, in words.
    fn subject(&self, message: &str) -> Term {
        let subject = self.contract.messages().find(|(name, _)| *name == message);
        let words = subject.and_then(|(_, subject)| subject).unwrap_or_default();
        let mut of = proto::descriptors::message("Envelope");
        let mut term = Term::default();
        for word in words.split('.') {
            let Some(field) = of.and_then(|of| of.get_field_by_name(word)) else { return term };
            term = term_of(&field);
            of = field.kind().as_message().cloned();
        }
        term
    }

    fn responses(&self, message: &str, schemas: &mut Map<String, Json>) -> Json {
        let mut responses = Map::new();
        let answers = self.contract.templates().filter(|(name, ..)| *name == message);
        for (_, direction, answer) in answers {
            if !matches!(direction, Reply::Outcome | Reply::Refusal) {
                continue;
            }
            let name = answer.origins.file().trim_end_matches(".json").replace('.', "_");
            let body = member(answer, "body").map(|slot| self.schema(slot, Way::Out));
            schemas.entry(name.clone()).or_insert_with(|| body.unwrap_or_default());
            let own = json!({ "$ref": format!("#/components/schemas/{name}") });
            let port = json!({ "$ref": "#/components/schemas/TransportProblem" });
            let refuses = direction == Reply::Refusal;
            let schema = if refuses { json!({ "anyOf": [own, port] }) } else { own };
            let headers = self.headers(answer);
            let media = media_of(answer);
            for (status, description) in statuses(answer) {
                let mut content = json!({ "schema": schema });
                put(&mut content, "example", self.answer(message, direction, &status));
                let mut response =
                    json!({ "description": description, "content": { media.as_str(): content } });
                put(&mut response, "headers", Some(headers.clone()).filter(|it| *it != json!({})));
                responses.insert(status, response);
            }
        }
        responses.insert(
            "default".to_owned(),
            json!({
                "description": "What is wrong with the request itself: path, method, media type, size, certificate",
                "content": { "application/problem+json": {
                    "schema": { "$ref": "#/components/schemas/TransportProblem" },
                } },
            }),
        );
        Json::Object(responses)
    }

    fn headers(&self, answer: &Template) -> Json {
        let slots =
            member(answer, "headers").map(|slot| slot.children.iter()).into_iter().flatten();
        let told = slots.filter(|slot| *slot.name.written != *"Content-Type").map(|slot| {
            let schema = match &slot.leaf {
                Some(leaf) => self.leaf(leaf, Way::Out),
                None => json!({ "type": "string", "format": "uri-reference" }),
            };
            (slot.name.written.to_string(), json!({ "schema": schema }))
        });
        Json::Object(told.collect())
    }

    /// A request as its bytes.
    fn request(&self, message: &str) -> Option<Vec<u8>> {
        let fits = |it: &&Example| it.message == message && it.direction == Reply::Request;
        match self.examples.iter().find(fits) {
            Some(it) => self.contract.encode(Some(message), Reply::Request, &it.envelope).ok(),
            None => self.contract.fake(message, 1, None).ok(),
        }
    }

    /// The body of an answer with this status.
    fn answer(&self, message: &str, direction: Reply, status: &str) -> Option<Json> {
        let fit = |it: &&Example| it.message == message && it.direction == direction;
        self.examples.iter().filter(fit).find_map(|it| {
            let bytes = self.contract.encode(Some(message), direction, &it.envelope).ok()?;
            let is_it = HttpMessage::parse(&bytes)?.status()?.to_string() == status;
            is_it.then(|| body_of(&bytes)).flatten()
        })
    }

    fn schema(&self, slot: &Slot, way: Way) -> Json {
        if slot.ignored {
            return json!({});
        }
        let mut schema = match (slot.form, &slot.leaf) {
            (Form::Object, _) => self.object(slot, way),
            (Form::Array | Form::Row, _) => self.array(slot, way),
            (_, Some(leaf)) => self.leaf(leaf, way),
            (_, None) => json!({ "type": "string" }),
        };
        let list = slot.each().map(|each| &each.list);
        let path = list.or_else(|| slot.maybe().map(|maybe| &maybe.path));
        if let Some(path) = path.filter(|_| slot.leaf.is_none()) {
            put(&mut schema, "description", described(&term_of(&path.field), &[]));
        }
        schema
    }

    fn object(&self, slot: &Slot, way: Way) -> Json {
        let mut properties = Map::new();
        for rivals in &*slot.rivals {
            let mut schemas: Vec<Json> = rivals
                .slots()
                .iter()
                .filter_map(|number| slot.children.get(*number))
                .map(|child| self.schema(child, way))
                .collect();
            let first = rivals.slots().first().and_then(|number| slot.children.get(*number));
            let Some(first) = first else { continue };
            let schema = match schemas.len() {
                1 => schemas.pop().unwrap_or_default(),
                _ => json!({ "anyOf": schemas }),
            };
            properties.insert(first.name.written.to_string(), schema);
        }
        let required: Vec<&str> = slot
            .children
            .iter()
            .filter(|child| child.required)
            .map(|child| &*child.name.written)
            .collect();
        let mut object = json!({ "type": "object", "properties": properties });
        put(&mut object, "required", Some(json!(required)).filter(|_| !required.is_empty()));
        if way == Way::In {
            put(&mut object, "additionalProperties", Some(json!(false)));
        }
        object
    }

    fn array(&self, slot: &Slot, way: Way) -> Json {
        let Some(item) = slot.children.iter().find(|child| child.each().is_some()) else {
            let items: Vec<Json> =
                slot.children.iter().map(|child| self.schema(child, way)).collect();
            return json!({ "type": "array", "prefixItems": items });
        };
        let mut items = self.schema(item, way);
        let description = items.as_object_mut().and_then(|items| items.remove("description"));
        let mut array = json!({ "type": "array", "items": items });
        put(&mut array, "description", description);
        put(&mut array, "minItems", (way == Way::In && item.required).then(|| json!(1)));
        array
    }

    fn leaf(&self, leaf: &Leaf, way: Way) -> Json {
        if let Some(text) = leaf.literal() {
            let value = serde_json::from_str(text).ok().filter(|_: &Json| leaf.bare);
            return json!({ "const": value.unwrap_or_else(|| json!(text)) });
        }
        if let [Piece::Hole(hole)] = &*leaf.pieces {
            return self.hole(hole, leaf.bare, way);
        }
        let pattern: String = leaf
            .pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => quoted(text),
                Piece::Hole(hole) => self.inside(leaf, hole),
            })
            .collect();
        let description = leaf.holes().next().and_then(|hole| self.words(hole));
        let mut schema = json!({ "type": "string", "pattern": format!("^{pattern}$") });
        put(&mut schema, "description", description);
        schema
    }

    /// The pattern of a hole beside other pieces.
    fn inside(&self, leaf: &Leaf, hole: &Hole) -> String {
        if let Some(pattern) = pattern(hole.codec(), hole.words()) {
            return pattern;
        }
        let separators: String = leaf.separators().collect();
        let chars_max = usize::try_from(rule_of(&hole.path.field).chars_max).unwrap_or_default();
        let is_key =
            self.contract.key_parts().iter().any(|part| part == &format!("{{{}}}", hole.path.text));
        // The key's form: visible ASCII.
        let (class, most) = if is_key {
            let most = if chars_max == 0 { KEY_CHARS_MAX } else { chars_max.min(KEY_CHARS_MAX) };
            (class(('!'..='~').filter(|letter| !separators.contains(*letter))), most)
        } else {
            (format!("^{}", class(separators.chars())), chars_max)
        };
        let most = if most == 0 { String::new() } else { most.to_string() };
        format!("[{class}]{{1,{most}}}")
    }

    fn hole(&self, hole: &Hole, bare: bool, way: Way) -> Json {
        let (field, rule) = (&hole.path.field, rule_of(&hole.path.field));
        let mut schema = match (hole.codec(), bare) {
            (Codec::Int | Codec::Fen, true) => {
                let format = if field.kind() == Kind::Int32 { "int32" } else { "int64" };
                let least = if rule.positive { 1 } else { 0 };
                json!({ "type": "integer", "format": format, "minimum": least })
            }
            (Codec::Bool { .. }, true) => json!({ "type": "boolean" }),
            (Codec::Code(table), _) => {
                let mut codes: Vec<&str> = match way {
                    Way::In => table.codes().into_iter().map(|(code, _)| code).collect(),
                    Way::Out => table.written().into_iter().map(|(_, code)| code).collect(),
                };
                codes.sort_unstable();
                codes.dedup();
                match bare {
                    true => json!({ "type": "integer", "enum": numbers(&codes) }),
                    false => json!({ "type": "string", "enum": codes }),
                }
            }
            (Codec::Bool { yes, no }, false) => json!({ "type": "string", "enum": [yes, no] }),
            (codec, _) => match pattern(codec, hole.words()) {
                Some(pattern) => json!({ "type": "string", "pattern": format!("^{pattern}$") }),
                None => text(rule.chars_max, way),
            },
        };
        if let (Codec::Date(_), "date %Y-%m-%d") = (hole.codec(), hole.words()) {
            put(&mut schema, "format", Some(json!("date")));
        }
        if matches!(hole.codec(), Codec::Time(_)) && hole.words().starts_with("time %Y-%m-%dT") {
            put(&mut schema, "format", Some(json!("date-time")));
        }
        if way == Way::Out && matches!(&hole.unset, Unset::Text(_)) {
            // What stands there while it is unset is none of the field's values.
            schema = json!({ "type": "string" });
        }
        put(&mut schema, "description", self.words(hole));
        schema
    }

    fn words(&self, hole: &Hole) -> Option<Json> {
        let rule = rule_of(&hole.path.field);
        let mut more = vec![format!("`{}`", hole.path.text)];
        let told: Vec<String> = codes(hole.codec(), &hole.path.field)
            .into_iter()
            .filter_map(|(code, _, chinese)| Some(format!("{code} {}", chinese?)))
            .collect();
        if !told.is_empty() {
            more.push(told.join(", "));
        } else if !hole.words().is_empty() {
            more.push(format_of(hole.codec(), hole.words()).1);
        }
        if !rule.exactly_when.is_empty() {
            more.push(format!("there exactly when {}", rule.exactly_when));
        }
        if !rule.required_when.is_empty() {
            more.push(format!("needed when {}", rule.required_when));
        }
        described(&term_of(&hole.path.field), &more)
    }
}

/// What goes for every notice.
const NOTICE: &str = "Posted by the gateway to whom its settings name, signed as Standard Webhooks says where they name a \
                      secret; events of one case come in its order. The same one may come again: keep identifiers. How to \
                      verify it: docs/notices.md.";

/// Greatest length of an idempotency key. Source: application.proto.
const KEY_CHARS_MAX: usize = 128;

/// What a text holds: something that is not blank, and no control characters but line feed and tab.
fn text(chars_max: i32, way: Way) -> Json {
    let mut schema = json!({ "type": "string" });
    if way == Way::In {
        const NO_CONTROL: &str = r"[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*";
        const VISIBLE: &str =
            r"[^\x00-\x20\x7F-\xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]";
        put(&mut schema, "pattern", Some(json!(format!("^{NO_CONTROL}{VISIBLE}{NO_CONTROL}$"))));
        put(&mut schema, "maxLength", (chars_max > 0).then(|| json!(chars_max)));
    }
    schema
}

/// The regular expression of a codec's texts, without anchors; `None` for free text.
fn pattern(codec: &Codec, words: &str) -> Option<String> {
    let moment = || {
        const PARTS: [(&str, &str); 8] = [
            ("%Y", "[0-9]{4}"),
            ("%m", "[0-9]{2}"),
            ("%d", "[0-9]{2}"),
            ("%H", "[0-9]{2}"),
            ("%M", "[0-9]{2}"),
            ("%S", "[0-9]{2}"),
            ("%3f", "[0-9]{3}"),
            ("%z", "(Z|[+-][0-9]{2}:?[0-9]{2})"),
        ];
        match words.split_once(' ').map_or("", |(_, format)| format) {
            "epoch_ms" | "epoch_s" => "-?[0-9]+".to_owned(),
            format => {
                PARTS.iter().fold(quoted(format), |text, (ours, theirs)| text.replace(ours, theirs))
            }
        }
    };
    Some(match codec {
        Codec::Text | Codec::Id | Codec::List { .. } | Codec::Code(_) => return None,
        Codec::Bool { yes, no } => format!("({}|{})", quoted(yes), quoted(no)),
        Codec::Is(text) => quoted(text),
        Codec::Int => "-?[0-9]+".to_owned(),
        Codec::Fen | Codec::Count => "[0-9]+".to_owned(),
        Codec::Yuan(_) | Codec::Wanyuan { .. } => "[0-9,]+([.][0-9]+)?".to_owned(),
        Codec::M2 => "[0-9]+([.][0-9]+)?".to_owned(),
        Codec::Date(_) | Codec::Time(_) | Codec::Clock(_) => moment(),
        Codec::UnitCode(Spacing::None) => {
            "[0-9]{12}[GJZ][ABSXCDEFLNHGWY][0-9]{5}([FLQ][0-9]{8}|W0{8})".to_owned()
        }
        Codec::UnitCode(Spacing::Groups) => "[0-9A-Z ]+".to_owned(),
        // Whole groups, and no bit set beyond the last byte: RFC 4648, section 3.5.
        Codec::Base64 => "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)".to_owned(),
        Codec::Hex => "([0-9A-Fa-f]{2})+".to_owned(),
    })
}

/// Characters as the inside of a class, neighbours as a range.
fn class(letters: impl Iterator<Item = char>) -> String {
    let mut ranges: Vec<(char, char)> = Vec::new();
    for letter in letters {
        match ranges.last_mut() {
            Some((_, to)) if u32::from(letter) == u32::from(*to).saturating_add(1) => *to = letter,
            _ => ranges.push((letter, letter)),
        }
    }
    let written = |letter: char| match letter.is_ascii() {
        true => format!("\\x{:02X}", u32::from(letter)),
        false => letter.to_string(),
    };
    let range = |(from, to): &(char, char)| match from == to {
        true => written(*from),
        false => format!("{}-{}", written(*from), written(*to)),
    };
    ranges.iter().map(range).collect()
}

/// A text as a part of a regular expression.
fn quoted(text: &str) -> String {
    let letter = |letter: char| match letter {
        '\\' | '^' | '$' | '.' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}' => {
            format!("\\{letter}")
        }
        letter => letter.to_string(),
    };
    text.chars().map(letter).collect()
}

/// The statuses of an answer, each with what it means.
fn statuses(answer: &Template) -> Vec<(String, String)> {
    let Some(leaf) = member(answer, "status").and_then(|slot| slot.leaf.as_ref()) else {
        return Vec::new();
    };
    if let Some(text) = leaf.literal() {
        return vec![(text.to_owned(), "What came of it".to_owned())];
    }
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for hole in leaf.holes() {
        let written: Vec<(&str, &str)> = match hole.codec() {
            Codec::Code(table) => table.written(),
            Codec::Bool { yes, no } => {
                vec![(hole.path.field.name(), yes), ("What came of it", no)]
            }
            _ => continue,
        };
        for (value, status) in written {
            let value = if value == "*" { "all other codes" } else { value };
            match told.iter_mut().find(|(known, _)| known == status) {
                Some((_, values)) => values.push(value),
                None => told.push((status.to_owned(), vec![value])),
            }
        }
    }
    told.into_iter().map(|(status, values)| (status, values.join(", "))).collect()
}

fn media_of(answer: &Template) -> String {
    let slots = member(answer, "headers").map(|slot| slot.children.iter()).into_iter().flatten();
    let mut media = slots.filter(|slot| *slot.name.written == *"Content-Type").filter_map(literal);
    media.next().unwrap_or("application/json").to_owned()
}

/// What the gateway's port says where no message was read: docs/errors.md.
fn transport_problem() -> Json {
    let text = || json!({ "type": "string" });
    json!({
        "type": "object",
        "description": "A problem (RFC 9457) with the request itself",
        "properties": {
            "type": text(), "title": text(), "status": { "type": "integer" }, "code": text(),
            "layer": text(), "sent": text(), "next": text(), "detail": text(),
        },
        "required": ["type", "title", "status", "code", "layer", "sent", "next", "detail"],
    })
}

fn body_of(message: &[u8]) -> Option<Json> {
    serde_json::from_slice(&HttpMessage::parse(message)?.body).ok()
}

fn header_of(message: &[u8], name: &str) -> Option<Json> {
    let message = HttpMessage::parse(message)?;
    let mut fields = message.headers.iter().filter(|(field, _)| field == name);
    fields.next().map(|(_, value)| json!(value))
}

fn numbers(codes: &[&str]) -> Vec<i64> {
    codes.iter().filter_map(|code| code.parse().ok()).collect()
}

fn literal(slot: &Slot) -> Option<&str> {
    slot.leaf.as_ref().and_then(Leaf::literal)
}

/// The field's own name at the end of a path.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn told(term: &Term) -> String {
    let words = term.words.trim_end_matches('.');
    match &term.chinese {
        Some(chinese) => format!("{words} {chinese}"),
        None => words.to_owned(),
    }
}

fn described(term: &Term, more: &[String]) -> Option<Json> {
    let column = term.column.iter().map(|column| format!("[{column}]"));
    let words = std::iter::once(told(term)).chain(column).chain(more.iter().cloned());
    let told: Vec<String> = words.filter(|words| !words.is_empty()).collect();
    (!told.is_empty()).then(|| json!(told.join("; ")))
}

fn put(object: &mut Json, name: &str, value: Option<Json>) {
    if let (Some(object), Some(value)) = (object.as_object_mut(), value) {
        object.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_for_regular_expressions() {
        assert_eq!(quoted("a.b\"-{"), "a\\.b\"-\\{");
        assert_eq!(class("abcx-".chars()), "\\x61-\\x63\\x78\\x2D");
    }

    #[test]
    fn a_format_becomes_a_pattern() {
        let codec = Codec::parse("date %Y/%m/%d", &std::collections::BTreeMap::new()).unwrap();
        let told = pattern(&codec, "date %Y/%m/%d");
        assert_eq!(told.as_deref(), Some("[0-9]{4}/[0-9]{2}/[0-9]{2}"));
    }
}
