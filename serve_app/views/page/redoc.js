"use strict";
// The search of Redoc would run in a worker made of a blob, which the policy of this page does not allow.
Redoc.init("openapi.json", { disableSearch: true, hideDownloadButton: false }, document.getElementById("redoc"));
