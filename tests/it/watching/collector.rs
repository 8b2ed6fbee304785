//! An OpenTelemetry collector that keeps what it is sent, and reads it with the protocol's own types.

use std::collections::BTreeMap;
use std::sync::Mutex;

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;

/// One span as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) name: String,
    /// In hexadecimal, as are `id` and `parent`; no parent is empty.
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) fields: BTreeMap<String, String>,
}

#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) url: String,
    bodies: Data<Mutex<Vec<Bytes>>>,
    server: actix_web::dev::ServerHandle,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let bodies: Data<Mutex<Vec<Bytes>>> = Data::default();
        let shared = bodies.clone();
        let app = move || App::new().app_data(shared.clone()).route("/v1/traces", web::post().to(take));
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0);
        let server = server.bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, bodies, server: handle }
    }

    /// The settings that send spans here.
    pub(crate) fn settings(&self) -> String {
        format!("[telemetry]\notlp_url = \"{}\"\n", self.url)
    }

    /// Every byte that came.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.bodies.lock().unwrap().concat()
    }

    /// Every span that came.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap().clone();
        let requests = bodies.iter().map(|body| ExportTraceServiceRequest::decode(body.clone()).unwrap());
        let resources = requests.flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| {
            let service = resource.resource.unwrap().attributes;
            assert!(service.iter().any(|field| field.key == "service.name"), "{service:?}");
            resource.scope_spans
        });
        let spans = scopes.flat_map(|scope| scope.spans).map(|span| {
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
            let fields = span.attributes.into_iter().map(|field| {
                let value = match field.value.unwrap().value.unwrap() {
                    Value::StringValue(text) => text,
                    other => format!("{other:?}"),
                };
                (field.key, value)
            });
            Span {
                name: span.name,
                trace: hex::encode(span.trace_id),
                id: hex::encode(span.span_id),
                parent: hex::encode(span.parent_span_id),
                fields: fields.collect(),
            }
        });
        spans.collect()
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}

async fn take(bodies: Data<Mutex<Vec<Bytes>>>, body: Bytes) -> HttpResponse {
    bodies.lock().unwrap().push(body);
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}
