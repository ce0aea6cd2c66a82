package rules

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"twelvefold.dev/internal/image"
	"twelvefold.dev/internal/policy"
	"twelvefold.dev/internal/shell"
)

// sshDaemonParams are the parameters of ssh-daemon.
type sshDaemonParams struct {
	AllowedImages []string `yaml:"allowedImages"` // globs of an image's last path segment: SSH is what these serve
}

// ssh-daemon
//
//	restricted: containers[*].command, args, lifecycle.postStart.exec, image, ports, and those of initContainers
//	allowed:    servers whose protocol is SSH: Git and SFTP
func init() {
	register(Rule{
		RuleInfo: policy.RuleInfo{ID: "ssh-daemon", Factor: "XII", Levels: policy.At(policy.Deny),
			Params: sshDaemonParams{AllowedImages: []string{"gitea*", "forgejo*", "gogs*", "gitlab-ce*", "gitlab-ee*", "gitlab-shell*", "gitlab-sshd*",
				"gerrit*", "onedev*", "soft-serve*", "sftp*", "*-sftp"}}},
		Page: policy.Page{
			Title:   "An SSH server runs in the pod",
			Why:     "It is a second way in, past Kubernetes' own authentication, RBAC and audit log, with keys that nobody rotates. What is changed through it is gone with the pod and in no release.",
			Fix:     "Remove it. Look around with kubectl exec or kubectl debug; run one-off tasks as a Job of the same image.",
			Allowed: "Git and SFTP servers, whose protocol SSH is: the parameter allowedImages lists them. ssh as a client, ssh-keygen, sshd -t, and ports such as 2222 that alone say nothing.",
			Example: "# instead of logging in:\n# kubectl debug -it shop-7d4b9 --image=busybox:1.37 --target=api\n",
		},
		Check: checkSSHDaemon,
	})
}

// sshImages are images of SSH servers, by the last segment of their names.
var sshImages = []string{"openssh-server", "openssh", "sshd", "ubuntu-sshd", "alpine-sshd", "docker-sshd", "ssh-server", "docker-ssh"}

func checkSSHDaemon(s *Subject, report func(Violation)) {
	const fix = "remove it; kubectl exec or kubectl debug gives a shell, a Job runs a task"
	allowed := Params[sshDaemonParams](s).AllowedImages
	for _, c := range s.Containers() {
		ref, err := image.Parse(c.Image)
		if err == nil && slices.ContainsFunc(allowed, func(glob string) bool { ok, _ := path.Match(glob, ref.Base()); return ok }) {
			continue
		}
		switch {
		case slices.ContainsFunc(c.Commands(), startsSSH):
			report(c.At(c.argvField(), "starts an SSH server", fix))
		case slices.ContainsFunc(c.PostStart(), startsSSH):
			report(c.At(".lifecycle.postStart.exec.command", "starts an SSH server", fix))
		case err == nil && slices.Contains(sshImages, ref.Base()):
			report(c.At(".image", ref.Base()+" is an SSH server", fix))
		default:
			if i := slices.IndexFunc(c.Ports, isSSHPort); i >= 0 {
				report(c.At(fmt.Sprintf(".ports[%d].containerPort", i), "port 22 is SSH's", fix))
			}
		}
	}
}

func isSSHPort(p corev1.ContainerPort) bool {
	return p.ContainerPort == 22 && (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP)
}

func startsSSH(command shell.Command) bool {
	args := command.Args()
	isSSH := func(word string) bool {
		return slices.Contains([]string{"ssh", "sshd", "ssh.service", "sshd.service"}, word)
	}
	starts := func(word string) bool { return word == "start" || word == "restart" }
	switch name := command.Name(); name {
	case "sshd", "dropbear":
		return !slices.ContainsFunc(args, func(a string) bool { return a == "-t" || a == "-T" || a == "-V" }) // these only look
	case "service", "rc-service":
		return len(args) > 1 && isSSH(args[0]) && starts(args[1])
	case "systemctl":
		return slices.ContainsFunc(args, isSSH) && slices.ContainsFunc(args, starts)
	default:
		return isSSH(name) && strings.Contains(command.Words[0], "/init.d/") && slices.ContainsFunc(args, starts)
	}
}
