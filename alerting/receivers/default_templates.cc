#include <string_view>

#include "alerting/receivers/receiver_config.h"

namespace vigie::alerting {
namespace {

// The names are Alertmanager's, so that templates which call them go on
// working; the words are ours.
constexpr std::string_view kTemplates = R"tmpl(
{{- define "__alertmanager" }}vigie{{ end -}}
{{- define "__alertmanagerURL" }}{{ .ExternalURL }}/api/v1/alerts{{ end -}}

{{- define "__subject" -}}
[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ len .Alerts.Firing }}{{ end }}]
{{- range .GroupLabels.SortedPairs }} {{ .Value }}{{ end }}
{{- with .CommonLabels.Remove .GroupLabels.Names }}{{ if gt (len .) 0 }} ({{ .Values | join " " }}){{ end }}{{ end }}
{{- end -}}

{{- define "__description" }}{{ end -}}

{{- define "__headline" -}}
{{ .Labels.alertname }}{{ if .Annotations.summary }}: {{ .Annotations.summary }}{{ end }}
{{- end -}}

{{- define "__text_alert_list" }}{{ range . }}* {{ template "__headline" . }}
  since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05 MST" }}
  labels:
{{ range .Labels.SortedPairs }}    {{ .Name }} = {{ .Value }}
{{ end }}{{ if .Annotations }}  annotations:
{{ range .Annotations.SortedPairs }}    {{ .Name }} = {{ .Value }}
{{ end }}{{ end }}{{ if .GeneratorURL }}  expression: {{ .GeneratorURL }}
{{ end }}{{ end }}{{ end -}}

{{- define "__text_alert_list_markdown" }}{{ template "__text_alert_list" . }}{{ end -}}

{{- define "slack.default.title" }}{{ template "__subject" . }}{{ end -}}
{{- define "slack.default.username" }}{{ template "__alertmanager" . }}{{ end -}}
{{- define "slack.default.fallback" }}{{ template "slack.default.title" . }} | {{ template "slack.default.titlelink" . }}{{ end -}}
{{- define "slack.default.callbackid" }}{{ end -}}
{{- define "slack.default.pretext" }}{{ end -}}
{{- define "slack.default.titlelink" }}{{ template "__alertmanagerURL" . }}{{ end -}}
{{- define "slack.default.iconemoji" }}{{ end -}}
{{- define "slack.default.iconurl" }}{{ end -}}
{{- define "slack.default.footer" }}{{ end -}}
{{- define "slack.default.text" -}}
{{ range .Alerts.Firing }}Firing: {{ template "__headline" . }}
{{ end }}{{ range .Alerts.Resolved }}Resolved: {{ template "__headline" . }}
{{ end }}
{{- end -}}

{{- define "email.default.subject" }}{{ template "__subject" . }}{{ end -}}

{{- define "email.default.text" -}}
{{ template "__subject" . }}
{{ if gt (len .Alerts.Firing) 0 }}
Firing now:

{{ template "__text_alert_list" .Alerts.Firing }}{{ end }}
{{- if gt (len .Alerts.Resolved) 0 }}
Resolved:

{{ template "__text_alert_list" .Alerts.Resolved }}{{ end }}
All alerts: {{ template "__alertmanagerURL" . }}
{{ end -}}

{{- define "__html_alert_list" }}{{ range . }}
<div style="border:1px solid #ddd;border-radius:4px;padding:12px;margin:0 0 12px">
<p style="margin:0 0 8px"><strong>{{ .Labels.alertname }}</strong>{{ if .Annotations.summary }}: {{ .Annotations.summary }}{{ end }}</p>
<p style="margin:0 0 8px;color:#666">since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05 MST" }}{{ if eq .Status "resolved" }}, until {{ .EndsAt.UTC.Format "2006-01-02 15:04:05 MST" }}{{ end }}</p>
<table style="border-collapse:collapse">
{{ range .Labels.SortedPairs }}<tr><td style="padding:0 12px 2px 0;color:#666">{{ .Name }}</td><td>{{ .Value }}</td></tr>
{{ end }}{{ range .Annotations.SortedPairs }}<tr><td style="padding:0 12px 2px 0;color:#666"><em>{{ .Name }}</em></td><td>{{ .Value }}</td></tr>
{{ end }}</table>
{{ if .GeneratorURL }}<p style="margin:8px 0 0"><a href="{{ .GeneratorURL }}">Expression</a></p>{{ end }}
</div>
{{ end }}{{ end -}}

{{- define "email.default.html" -}}
<!DOCTYPE html>
<html>
<head><meta charset="UTF-8"><title>{{ template "__subject" . }}</title></head>
<body style="font-family:sans-serif;font-size:14px;color:#222;max-width:720px;margin:0 auto;padding:16px">
<h1 style="font-size:18px">{{ template "__subject" . }}</h1>
{{ if gt (len .Alerts.Firing) 0 }}<h2 style="font-size:16px;color:#b00020">Firing: {{ len .Alerts.Firing }}</h2>
{{ template "__html_alert_list" .Alerts.Firing }}{{ end }}
{{ if gt (len .Alerts.Resolved) 0 }}<h2 style="font-size:16px;color:#1b5e20">Resolved: {{ len .Alerts.Resolved }}</h2>
{{ template "__html_alert_list" .Alerts.Resolved }}{{ end }}
<p style="color:#666"><a href="{{ template "__alertmanagerURL" . }}">All alerts</a>, sent by {{ template "__alertmanager" . }}</p>
</body>
</html>
{{ end -}}
)tmpl";

}  // namespace

absl::Status AddDefaultTemplates(TemplateSet& templates) {
  return templates.AddFile(kTemplates, "default templates");
}

}  // namespace vigie::alerting
