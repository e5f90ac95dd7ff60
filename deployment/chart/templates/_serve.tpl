{{- /* The Serve file: files/serve_config.yaml, what pods need otherwise, then the values under `serve`. */ -}}
{{- define "pairlens.serveConfig" -}}
{{- $values := .Values -}}
{{- $config := fromYaml (.Files.Get "files/serve_config.yaml") -}}
{{- $application := first $config.applications -}}
{{- $needed := fromYaml (include "pairlens.needed" .) -}}
{{- $_ := set $config "proxy_location" "EveryNode" -}}
{{- $_ := set $config "http_options" (mustMergeOverwrite $config.http_options $needed.http_options $values.serve.http_options) -}}
{{- $_ := set $config "logging_config" (mustMergeOverwrite $config.logging_config $values.serve.logging_config) -}}
{{- with $values.serve.tracing_config }}{{ $_ := set $config "tracing_config" . }}{{ end -}}
{{- $_ := set $application "args" (mustMergeOverwrite $application.args $needed.args (deepCopy $values.serve.args)) -}}
{{- $stages := list -}}
{{- range $stage := $application.deployments -}}
{{- if or (ne $stage.name "Jobs") $values.jobs.enabled -}}
{{- $given := get $values.serve.deployments $stage.name | default dict -}}
{{- $stages = append $stages (mustMergeOverwrite $stage (get $needed.deployments $stage.name | default dict) $given) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $application "deployments" $stages -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* Where a cluster's Serve file differs from that of one machine. tests/operating/test_chart.py names each of these. */ -}}
{{- define "pairlens.needed" -}}
{{- $model := .Values.serve.args.model | default dict -}}
http_options:
  host: 0.0.0.0
args:
  jobs:
    enabled: {{ .Values.jobs.enabled }}
    {{- if .Values.jobs.enabled }}
    folder: /jobs
    database_url: {{ .Values.jobs.database.url }}
    {{- end }}
    {{- if .Values.secrets.webhook.name }}
    webhooks: {secret_file: /etc/pairlens/secrets/webhook/{{ .Values.secrets.webhook.key }}}
    {{- end }}
  {{- if .Values.secrets.apiKeys.name }}
  access:
    api_keys_file: /etc/pairlens/secrets/apiKeys/{{ .Values.secrets.apiKeys.key }}
  {{- end }}
  {{- if .Values.secrets.redisUrl.name }}
  cache:
    redis_file: /etc/pairlens/secrets/redisUrl/{{ .Values.secrets.redisUrl.key }}
  {{- end }}
  model:
    {{- if .Values.secrets.modelKey.name }}
    server: {key_file: /etc/pairlens/secrets/modelKey/{{ .Values.secrets.modelKey.key }}}
    {{- end }}
    {{- if .Values.gpu.enabled }}
    compile_cache: /models/compiled
    {{- end }}
    gpus_per_replica: {{ ternary 1 0 .Values.gpu.enabled }}
deployments:
  Ingress:
    ray_actor_options: {num_cpus: 0.1}
  Preprocessor:
    ray_actor_options: {num_cpus: 1}
    autoscaling_config: {max_replicas: 8}
  VLModel:
    {{- if .Values.gpu.enabled }}
    max_surge_percent: 25
    ray_actor_options: {num_cpus: 0, num_gpus: 1}
    {{- else if eq ($model.engine | default "none") "transformers" }}
    ray_actor_options: {num_cpus: 1}
    {{- else }}
    ray_actor_options: {num_cpus: 0.1}
    {{- end }}
    {{- if eq ($model.engine | default "none") "openai" }}
    autoscaling_config: {target_ongoing_requests: {{ dig "server" "parallel_comparisons" 8 $model }}}
    {{- end }}
  Jobs:
    ray_actor_options: {num_cpus: 0.1}
{{- end -}}
