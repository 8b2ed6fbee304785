//! A platform for tests: a real server on port 0, in a thread of its own, that stops when it is dropped.

use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use actix_web::{App, FromRequest, Handler, HttpServer, Responder, rt, web};
use url::Url;

pub(crate) struct Server {
    pub(crate) url: Url,
    handle: ServerHandle,
}

impl Server {
    /// Every call gets what `answer` makes of it and of `state`.
    pub(crate) fn start<S, A, Args>(state: Arc<S>, answer: A) -> Self
    where
        S: Send + Sync + 'static,
        A: Handler<Args> + Send,
        A::Output: Responder,
        Args: FromRequest + 'static,
    {
        let state = Data::from(state);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let factory =
                    move || App::new().app_data(state.clone()).default_service(web::to(answer.clone()));
                let server = HttpServer::new(factory).workers(1).bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                tell.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = told.recv().unwrap();
        Self { url: Url::parse(&format!("http://{address}")).unwrap(), handle }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}
