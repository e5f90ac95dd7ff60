"use strict";
// `validatorUrl: null`: by default Swagger UI asks a server on the internet what it thinks of the file.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null });
