// Package expression compiles and evaluates the CEL of custom rules: Kubernetes' own libraries, the variables that
// admission policies know, and a bound on what one evaluation and one request may cost.
package expression

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
)

// Limits. A unit of cost takes some tenths of a microsecond; Kubernetes allows ten times as much to the
// ValidatingAdmissionPolicies of one binding, and the webhook has no second to give away. A single function is counted when
// it has ended, and distinct() or sets.contains() take the square of their input: hence the bound on the pod.
const (
	MaxLength     = 8 << 10   // of an expression, in bytes
	MaxObject     = 64 << 10  // of the pod's JSON, in bytes
	PerExpression = 250_000   // the cost of one evaluation
	PerRequest    = 1_000_000 // of all that judge one pod
)

// The variables of an expression.
const (
	Object    = "object"    // the pod after mutation
	Pod       = "pod"       // the same
	Namespace = "namespace" // its name and labels
	Params    = "params"    // the rule's parameters
)

// CEL reserves the word namespace, so it is compiled under another name.
const compiledNamespace = "namespace_"

// Kubernetes is the minor version of 1.x whose libraries expressions may use: the newest that this version of Twelvefold
// knows.
const Kubernetes = 37

var base = sync.OnceValues(func() (*cel.Env, error) { return environmentOf(Object, Pod, compiledNamespace, Params) })

func environmentOf(names ...string) (*cel.Env, error) {
	var variables []cel.EnvOption
	for _, name := range names {
		variables = append(variables, cel.Variable(name, cel.DynType))
	}
	set, err := environment.MustBaseEnvSet(version.MajorMinor(1, Kubernetes)).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0), EnvOptions: variables,
		ProgramOptions: []cel.ProgramOption{cel.CostLimit(PerExpression)},
	})
	if err != nil {
		return nil, err
	}
	return set.NewExpressionsEnv(), nil
}

// Program is a compiled expression. It is immutable.
type Program struct {
	text    string
	program cel.Program
}

// Error is a mistake in an expression, at a line of it that counts from 1.
type Error struct {
	Line    int
	Message string
}

func (e Error) Error() string { return e.Message }

// Condition compiles an expression that is true or false.
func Condition(text string) (*Program, []Error) {
	return compile(text, cel.BoolType, func(ast *cel.Ast) string {
		value, field := quote(ast, text)
		fix := "compare it: " + value + " == true"
		if field {
			fix += ", or ask whether it is there: has(" + value + ")"
		}
		return "it may be anything, not only true or false; " + fix
	})
}

// Text compiles an expression that makes a message.
func Text(text string) (*Program, []Error) {
	return compile(text, cel.StringType, func(ast *cel.Ast) string {
		value, field := quote(ast, text)
		if field {
			value = "(" + value + ")"
		}
		return "it may be anything, not only text; write string" + value
	})
}

// quote is an expression as an operand, or what stands for it if it is long; and whether it is a field.
func quote(ast *cel.Ast, text string) (operand string, field bool) {
	kind := ast.NativeRep().Expr().Kind()
	field = kind == celast.SelectKind
	if text = oneLine(text); len(text) > maxQuoted || strings.Contains(text, "//") {
		text, field = "…", false
	}
	if field {
		return text, true
	}
	return "(" + text + ")", false
}

// maxQuoted is the length of an expression that an error repeats.
const maxQuoted = 80

// compile refuses an expression of another type, and one whose type shows only with a pod: as admission policies do, so
// that its author hears of it and not those who read a warning at each pod.
func compile(text string, want *cel.Type, ofAnyType func(*cel.Ast) string) (p *Program, mistakes []Error) {
	defer func() {
		if r := recover(); r != nil { // an expression is user input, whatever the compiler thinks of it
			p, mistakes = nil, []Error{{1, fmt.Sprintf("it can't be compiled: %v", r)}}
		}
	}()
	if len(text) > MaxLength {
		return nil, []Error{{1, fmt.Sprintf("%d bytes; at most %d", len(text), MaxLength)}}
	}
	env, err := base()
	if err != nil {
		return nil, []Error{{1, err.Error()}}
	}
	parsed, issues := env.Parse(Rename(text, map[string]string{Namespace: compiledNamespace}))
	if issues.Err() != nil { // the others follow from the first
		return nil, []Error{mistakeOf(issues.Errors()[0])}
	}
	ast, issues := env.Check(parsed)
	if issues.Err() != nil {
		for _, issue := range issues.Errors() {
			mistakes = append(mistakes, mistakeOf(issue))
		}
		return nil, mistakes
	}
	switch got := ast.OutputType(); {
	case got.IsExactType(cel.DynType):
		return nil, []Error{{1, ofAnyType(ast)}}
	case !got.IsExactType(want):
		return nil, []Error{{1, fmt.Sprintf("its type is %s; want %s", got, want)}}
	}
	program, err := env.Program(ast, cel.InterruptCheckFrequency(100))
	if err != nil {
		return nil, []Error{{1, oneLine(err.Error())}}
	}
	return &Program{text, program}, nil
}

func mistakeOf(issue *cel.Error) Error {
	text := strings.ReplaceAll(oneLine(issue.Message), compiledNamespace, Namespace)
	return Error{max(1, issue.Location.Line()), strings.TrimSuffix(text, " (in container '')")}
}

var admission = sync.OnceValues(func() (*cel.Env, error) {
	return environmentOf(Object, "oldObject", "request", "namespaceObject", "variables")
})

// CheckAdmission says whether an expression could stand in a ValidatingAdmissionPolicy.
func CheckAdmission(text string) error {
	env, err := admission()
	if err != nil {
		return err
	}
	if _, issues := env.Compile(text); issues.Err() != nil {
		return errors.New(oneLine(issues.Errors()[0].Message))
	}
	return nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Budget is what is left to the expressions that judge one pod.
type Budget struct{ spent uint64 }

var errBudget = errors.New("the policy's expressions cost too much together")

// True says whether a condition holds. Of the variables, pod may be left out.
func (p *Program) True(variables map[string]any, budget *Budget) (bool, error) {
	value, err := p.eval(variables, budget)
	if err != nil {
		return false, err
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("it made a %s; want true or false", value.Type().TypeName())
	}
	return holds, nil
}

// String is the message that a text makes.
func (p *Program) String(variables map[string]any, budget *Budget) (string, error) {
	value, err := p.eval(variables, budget)
	if err != nil {
		return "", err
	}
	text, ok := value.Value().(string)
	if !ok {
		return "", fmt.Errorf("it made a %s; want text", value.Type().TypeName())
	}
	return text, nil
}

func (p *Program) eval(variables map[string]any, budget *Budget) (value ref.Val, err error) {
	defer func() {
		if r := recover(); r != nil { // the text of a panic may hold a value of the pod
			value, err = nil, errors.New("it can't be evaluated")
		}
	}()
	if budget.spent >= PerRequest {
		return nil, errBudget
	}
	value, details, err := p.program.Eval(map[string]any{Object: variables[Object], Pod: variables[Object],
		compiledNamespace: variables[Namespace], Params: variables[Params]})
	if details != nil && details.ActualCost() != nil {
		budget.spent += *details.ActualCost()
	}
	if err != nil {
		return nil, p.explain(err)
	}
	return value, nil
}

// explain tells what went wrong without a value of the pod, which may be a secret: int(env.value) would show it.
func (p *Program) explain(err error) error {
	text := err.Error()
	for _, known := range []string{"no such key: ", "no such attribute(s): "} {
		if _, name, found := strings.Cut(text, known); found && strings.Contains(p.text, name) {
			return errors.New(known + name)
		}
	}
	switch {
	case strings.Contains(text, "cost limit exceeded"):
		return fmt.Errorf("it costs more than %d units", PerExpression)
	case strings.Contains(text, "no such overload"):
		return errors.New("a value is of another type than it expects (no such overload)")
	case strings.Contains(text, "index out of bounds"):
		return errors.New("an index is out of bounds")
	case strings.Contains(text, "divi"), strings.Contains(text, "modulus"):
		return errors.New("division by zero")
	}
	return errors.New("a value of the pod can't be converted as it asks")
}
