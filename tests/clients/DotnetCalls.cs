// What .NET programs have in common: calls from standard input, made with a proxy, answered on standard output. The program
// of each toolkit brings the proxy, as Proxy. README.md says how to talk to it.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;

static class DotnetCalls {
    static void Main(string[] arguments) {
        var service = Proxy.For(arguments[0].Split('?')[0], arguments[1] == "1.2");
        var utf8 = new UTF8Encoding(false);
        var calls = new StreamReader(Console.OpenStandardInput(), utf8);
        var answers = new StreamWriter(Console.OpenStandardOutput(), utf8) { AutoFlush = true };
        string line;
        while ((line = calls.ReadLine()) != null) {
            string said;
            try {
                said = Call(service, new Queue<string>(line.Split('\t')));
            } catch (Exception error) {
                string code = Proxy.FaultCode(error);
                said = code != null
                    ? "\"fault\":" + Quoted(error.Message) + ",\"faultcode\":" + Quoted(code)
                    : "\"error\":" + Quoted(error.GetBaseException().Message);
            }
            answers.Write("{" + said + "}\n");
        }
    }

    // Initializers are evaluated in their order: each member takes the next field.
    static string Call(Proxy service, Queue<string> given) {
        using (service.With(given.Dequeue(), given.Dequeue())) {
            return Call(service, given.Dequeue(), given);
        }
    }

    static string Call(Proxy service, string operation, Queue<string> given) {
        switch (operation) {
            case "AssignLicense":
            case "NoSuchOperation":
                var request = new Vendor.AssignLicenseRequest {
                    Username = given.Dequeue(),
                    LicenseProviderEntityId = int.Parse(given.Dequeue()),
                    LicenseType = LicenseType(given.Dequeue()),
                };
                return Outcome((operation == "AssignLicense" ? service.AssignLicense(request) : service.NoSuchOperation(request)).Result);
            case "GetAssignedLicenseDetails":
                var details = service.GetAssignedLicenseDetails(new Vendor.GetAssignedLicenseDetailsRequest {
                    Username = given.Dequeue(),
                    LicenseType = LicenseType(given.Dequeue()),
                });
                var data = details.LicenseData == null ? null : Convert.ToBase64String(details.LicenseData);
                return Outcome(details.Result) + ",\"ProductKey\":" + Quoted(details.ProductKey) + ",\"LicenseData\":" + Quoted(data);
            case "GetAssignedLicensesSummary":
                var summary = service.GetAssignedLicensesSummary(new Vendor.GetAssignedLicensesSummaryRequest {
                    EntityId = int.Parse(given.Dequeue()),
                    ChildAccountsOnly = given.Dequeue() == "true",
                });
                return Outcome(summary.Result) + Array("UsersLicenses", "UserLicenseSummary", summary.UsersLicenses, user =>
                    "\"Username\":" + Quoted(user.Username) + ",\"LicenseType\":" + Quoted(user.LicenseType.ToString()));
            case "UnassignLicense":
                return Outcome(service.UnassignLicense(new Vendor.UnassignLicenseRequest {
                    Username = given.Dequeue(),
                    LicenseType = LicenseType(given.Dequeue()),
                }).Result);
            case "TransferLicense":
                return Outcome(service.TransferLicense(new Vendor.TransferLicenseRequest {
                    FromUsername = given.Dequeue(),
                    ToUsername = given.Dequeue(),
                    LicenseType = LicenseType(given.Dequeue()),
                }).Result);
            case "GetLicensePools":
                var pools = service.GetLicensePools(new Vendor.GetLicensePoolsRequest { EntityId = int.Parse(given.Dequeue()) });
                return Outcome(pools.Result) + Array("Pools", "LicensePool", pools.Pools, pool =>
                    "\"PoolId\":" + Quoted(pool.PoolId) + ",\"LicenseType\":" + Quoted(pool.LicenseType.ToString()) +
                    ",\"SeatsTotal\":" + pool.SeatsTotal + ",\"SeatsInUse\":" + pool.SeatsInUse +
                    ",\"SeatsFree\":" + pool.SeatsFree + ",\"SeatsInUseMax\":" + pool.SeatsInUseMax +
                    ",\"StartsAt\":" + Quoted(Time(pool.StartsAt)) + ",\"ExpiresAt\":" + Quoted(Time(pool.ExpiresAt)));
            case "AssignLicenses":
                var items = new List<Vendor.AssignLicensesItem>();
                while (given.Count > 1) {
                    items.Add(new Vendor.AssignLicensesItem {
                        Username = given.Dequeue(),
                        LicenseProviderEntityId = int.Parse(given.Dequeue()),
                        LicenseType = LicenseType(given.Dequeue()),
                    });
                }
                var many = service.AssignLicenses(new Vendor.AssignLicensesRequest {
                    Items = items.ToArray(),
                    DryRun = given.Dequeue() == "true",
                });
                return Outcome(many.Result) + Array("Results", "AssignLicensesItemResult", many.Results, item =>
                    "\"Username\":" + Quoted(item.Username) + ",\"Result\":{\"Result\":" + item.Result.Result +
                    ",\"Code\":" + Quoted(item.Result.Code) + ",\"Message\":" + Quoted(item.Result.Message) + "}");
            default:
                throw new ArgumentException(operation);
        }
    }

    // A number the enumeration has no name for, where the WSDL has no such value.
    static Vendor.LicenseType LicenseType(string name) {
        Vendor.LicenseType type;
        return Enum.TryParse(name, out type) ? type : (Vendor.LicenseType)99;
    }

    static string Outcome(Vendor.WebServiceResult result) {
        return "\"result\":" + result.Result + ",\"code\":" + Quoted(result.Code) + ",\"message\":" + Quoted(result.Message);
    }

    static string Array<T>(string name, string item, T[] items, Func<T, string> shown) {
        if (items == null) return "";
        return ",\"" + name + "\":{\"" + item + "\":[" + string.Join(",", items.Select(i => "{" + shown(i) + "}")) + "]}";
    }

    static string Time(DateTime? time) {
        return time == null ? null : time.Value.ToUniversalTime().ToString("yyyy-MM-ddTHH:mm:ssZ");
    }

    static string Quoted(string text) {
        if (text == null) return "null";
        var quoted = text.Select(c => c == '"' || c == '\\' ? "\\" + c : c < ' ' ? "\\u" + ((int)c).ToString("x4") : c.ToString());
        return "\"" + string.Concat(quoted) + "\"";
    }
}
