// Package logs knows how applications send their logs elsewhere than to stdout, and what brings them back.
package logs

// PlanEnv is the environment variable of the tail container that holds its [Plan] as JSON.
const PlanEnv = "TWELVEFOLD_LOGS"

// Plan tells the tail sidecar which files to stream to stdout.
type Plan struct {
	Files []File `json:"files"`
}

// File is one log file of one container. Its name may be a glob in the last element.
type File struct {
	Container string `json:"container"`
	Path      string `json:"path"` // as the application knows it: /var/log/app/app.log
	Mount     string `json:"at"`   // where the sidecar sees it: /logs/0/app.log
}
