//! `/openapi.json`: the REST interface as programs read it, made from the handlers that serve it.
//!
//! A route has one source: what stands above its handler (`#[utoipa::path]`). [`Routes::with`] takes the path and the method
//! from there for the router and for the document alike, and the shapes from the very JSON types, so that neither can say
//! what the other does not. (`utoipa-axum` does the same but for handlers that are generic, as ours are over the node.) A
//! golden file beside the tests holds the document.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodFilter, on};
use serde::Deserialize;
use utoipa::__dev::SchemaReferences;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, Paths};
use utoipa::openapi::schema::{AdditionalProperties, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, HttpMethod, Info, OpenApi, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::query;
use super::refusal::{ErrorBody, Of, REFUSALS};

/// What stands at the head of the document.
const ABOUT: &str = "\
A node's gateway to the distributed hash table it belongs to. Keys are 160 bits; a text key is the SHA-1 of its bytes. \
Several values live under one key, in the order in which they were put. Units stand in the names of fields: instants are \
`_ms` since 1970, lives are `_seconds`. Unknown parameters are refused under `/v1`, and ignored elsewhere. The same port answers XML-RPC by POST to `/` and \
`/RPC2`, which this document does not describe.";

/// What the document calls an access token.
const TOKEN: &str = "token";

type Schemas = Vec<(String, RefOr<Schema>)>;

/// Adds one route to a document.
type Describe = fn(&mut Paths, &mut Schemas);

/// The routes of a router and their description, gathered together.
pub(super) struct Routes<S> {
    router: Router<S>,
    routes: Vec<Describe>,
}

/// The document, made when somebody wants it: most nodes are never asked, and making it costs two megabytes.
#[derive(Clone)]
pub(super) struct Document(Arc<LazyLock<String, Box<dyn FnOnce() -> String + Send>>>);

impl Document {
    /// As JSON.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(super) fn new() -> Routes<S> {
        Routes { router: Router::new(), routes: Vec::new() }
    }

    /// Serves and describes what is described by `P`, which is named after the handler: `__path_NAME`. Under `/v1` a route whose
    /// description names no parameter takes none; the handlers of the others read theirs, and refuse what they do not know.
    pub(super) fn with<P: utoipa::Path + SchemaReferences, T: 'static>(
        mut self,
        handler: impl Handler<T, S>,
    ) -> Routes<S> {
        let takes_none = P::path().starts_with("/v1/") && !has_query(&P::operation());
        for method in P::methods() {
            let mut served = on(filter(&method), handler.clone());
            if takes_none {
                served = served.route_layer(from_fn(without_query));
            }
            self.router = self.router.route(&P::path(), served);
        }
        self.describe::<P>()
    }

    /// Describes what somebody else serves.
    pub(super) fn describe<P: utoipa::Path + SchemaReferences>(mut self) -> Routes<S> {
        self.routes.push(|paths, schemas| {
            paths.add_path_operation(P::path(), P::methods(), P::operation());
            P::schemas(schemas);
        });
        self
    }

    /// The router, and the document.
    pub(super) fn finish(self) -> (Router<S>, Document) {
        let routes = self.routes;
        (self.router, Document(Arc::new(LazyLock::new(Box::new(move || describe(&routes))))))
    }
}

fn describe(routes: &[Describe]) -> String {
    let (mut paths, mut schemas) = (Paths::new(), Schemas::new());
    routes.iter().for_each(|route| route(&mut paths, &mut schemas));
    let mut document = OpenApi::new(Info::new("Keyway", env!("CARGO_PKG_VERSION")), paths);
    document.info.description = Some(ABOUT.into());
    let mut components = Components::new();
    // Refusals name it, but only answers are searched for what they name.
    schemas.push((ErrorBody::name().into_owned(), ErrorBody::schema()));
    ErrorBody::schemas(&mut schemas);
    schemas.iter_mut().for_each(|(_, schema)| close(schema));
    components.schemas.extend(schemas);
    // Not required: what may be done without is for the operator of a gateway to say.
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::default(), SecurityRequirement::new(TOKEN, [""; 0])]);
    document.components = Some(components);
    // Maps with text keys and no failing fields cannot fail to be JSON.
    document.to_json().unwrap_or_default()
}

/// Says of every variant of a choice that it has no other fields, which the derived schema forgets.
fn close(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::OneOf(choice)) = schema else { return };
    for variant in &mut choice.items {
        if let RefOr::T(Schema::Object(object)) = variant
            && !object.properties.is_empty()
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
}

/// Whether parameters of the query are described.
fn has_query(operation: &Operation) -> bool {
    let in_query = |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(of) if of.parameter_in == ParameterIn::Query);
    operation.parameters.iter().flatten().any(in_query)
}

/// Refuses a query that has anything in it.
async fn without_query(request: Request, next: Next) -> axum::response::Response {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}

    match query(request.uri()) {
        Ok(Nothing {}) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
    }
}

fn bytes() -> ObjectBuilder {
    let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(binary))
}

/// A body of records: any bytes, for what is none is told in its place.
pub(super) struct RecordBytes;

impl PartialSchema for RecordBytes {
    fn schema() -> RefOr<Schema> {
        bytes().min_length(Some(1)).into()
    }
}

impl ToSchema for RecordBytes {}

/// A body of any bytes.
pub(super) struct AnyBytes;

impl PartialSchema for AnyBytes {
    fn schema() -> RefOr<Schema> {
        bytes().into()
    }
}

impl ToSchema for AnyBytes {}

/// The refusals that requests of a kind may get, one response for each status.
fn refusals(of: Of) -> BTreeMap<String, RefOr<Response>> {
    let mut meanings: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (status, code, meaning, _) in REFUSALS.iter().filter(|(.., requests)| requests.contains(&of)) {
        meanings.entry(*status).or_default().push(format!("`{code}`: {meaning}"));
    }
    let schema = Ref::from_schema_name(ErrorBody::name());
    let respond = |(status, meanings): (u16, Vec<String>)| {
        let content = ContentBuilder::new().schema(Some(schema.clone())).build();
        let response =
            ResponseBuilder::new().description(meanings.join("; ")).content("application/json", content);
        (status.to_string(), RefOr::T(response.build()))
    };
    meanings.into_iter().map(respond).collect()
}

/// Names for the kinds of requests, as descriptions of handlers need them.
macro_rules! refused {
    ($($(#[$about:meta])* $name:ident = $of:ident;)*) => {$(
        $(#[$about])*
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                refusals(Of::$of)
            }
        }
    )*};
}

refused! {
    /// Refusals of any request.
    Any = Any;
    /// Refusals of a question about the node.
    AskNode = Node;
    /// Refusals of a question about the network.
    AskNetwork = Network;
    /// Refusals of a get.
    GetValues = Get;
    /// Refusals of a put.
    PutValue = Put;
    /// Refusals of a remove.
    RemoveValue = Remove;
    /// Refusals of what is signed.
    PutSigned = Signed;
    /// Refusals of what is for operators.
    Administer = Admin;
}
